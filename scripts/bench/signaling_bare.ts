/**
 * The least that can introduce peers: no check, no limit, no log. What the signaling server is measured beside.
 * Its first line is `{"http", "websocket"}`.
 */
const rooms = new Map<string, Set<string>>();
const sockets = new Map<string, { socket: WebSocket; room: string }>();

function receive(socket: WebSocket, text: string): void {
  const message = JSON.parse(text);
  if (message.type === "register") {
    sockets.set(message.peer_id, { socket, room: message.room_id });
    rooms.set(message.room_id, (rooms.get(message.room_id) ?? new Set()).add(message.peer_id));
    const { room_id, token, peer_id } = message;
    return socket.send(JSON.stringify({ type: "registered_auth", room_id, token, peer_id }));
  }
  if (message.type === "discover_peers") {
    const room = rooms.get(sockets.get(message.from_peer_id)?.room ?? "") ?? new Set();
    const peers = [...room].filter((id) => id !== message.from_peer_id).map((peer_id) => ({ peer_id }));
    return socket.send(JSON.stringify({ type: "peer_list", peers }));
  }
  sockets.get(message.target ?? message.to_peer_id)?.socket.send(text);
}

function answer(request: Request): Response {
  if (request.headers.get("upgrade") === "websocket") {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => receive(socket, data);
    return response;
  }
  const { pathname } = new URL(request.url);
  if (pathname === "/anonymous-signin") {
    return Response.json({ id_token: "any", username: crypto.randomUUID() });
  }
  return Response.json({ room_id: crypto.randomUUID().slice(0, 8), token: "any" });
}

const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, answer);
const { port } = server.addr;
console.log(JSON.stringify({ http: `http://127.0.0.1:${port}`, websocket: `ws://127.0.0.1:${port}` }));
