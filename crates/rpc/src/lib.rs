//! Ethereum JSON-RPC over HTTP and WebSocket, behind backend traits.
