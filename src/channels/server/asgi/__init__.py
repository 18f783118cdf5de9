"""The legal order of ASGI's messages, for each kind of scope. Owns no socket, task or clock."""
