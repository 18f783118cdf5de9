"""WebSocket, RFC 6455, as a sans-IO core: frames, the opening handshake, the connection."""
