"""What Channels raises.

    ChannelsError                errors: something is wrong, the text says what to change
     +-- InvalidChannelLayerError  (also ValueError)
     +-- ChannelFull
     +-- LayerUnavailable
     +-- MessageTooLarge
     +-- UnknownMessageType        (also ValueError)
     +-- RequestAborted
          +-- RequestTimeout
    Signal                       control flow: raised by consumers to steer their own loop
     +-- AcceptConnection, DenyConnection, StopConsumer

The names and bases that projects catch (`except ValueError`) stay as they were.
"""

# Without Signal: `import *` must not put it over the Signal of django.dispatch.
__all__ = [
    "AcceptConnection",
    "ChannelFull",
    "ChannelsError",
    "DenyConnection",
    "InvalidChannelLayerError",
    "LayerUnavailable",
    "MessageTooLarge",
    "RequestAborted",
    "RequestTimeout",
    "StopConsumer",
    "UnknownMessageType",
]


class ChannelsError(Exception):
    """Base of every error that Channels itself raises."""


class InvalidChannelLayerError(ChannelsError, ValueError):
    """A channel layer is missing or misconfigured."""


class ChannelFull(ChannelsError):
    """A channel has reached its capacity; the message was not queued."""


class LayerUnavailable(ChannelsError):
    """The layer's engine cannot be reached; the text says whether the message was sent."""


class UnknownMessageType(ChannelsError, ValueError):
    """A message's type names no handler of the consumer it was sent to."""


class MessageTooLarge(ChannelsError):
    """A message is over the size limit of the layer; nothing was sent."""


class RequestAborted(ChannelsError):
    """The client went away while its request was being read."""


class RequestTimeout(RequestAborted):
    """The client did not send its request in time."""


class Signal(Exception):
    """Base of the exceptions that steer a consumer and are no errors."""


class AcceptConnection(Signal):
    """Raise in `connect()` to accept the WebSocket."""


class DenyConnection(Signal):
    """Raise in `connect()` to refuse the WebSocket."""


class StopConsumer(Signal):
    """Raise in any handler to end the consumer."""
