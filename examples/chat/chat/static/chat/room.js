// The page of one room. The server sends {type, ...}: "messages" of people, a "line" about
// what happens in the room, and a "reply" to each thing that this page has sent.
const { room, me } = document.body.dataset;
const find = (id) => document.getElementById(id);
const log = find("log");
const unsent = find("unsent"); // what the server has not replied to: a lost connection loses none
const input = find("input");
let socket, newest = 0, failures = 0;

function connect() {
  // Ask for what we missed, and a few before: messages of the same moment come in any order.
  const url = new URL(`/ws/room/${room}/${Math.max(0, newest - 10)}/`, location);
  url.protocol = location.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.onmessage = ({ data }) => show(JSON.parse(data));
  socket.onopen = () => {
    document.body.dataset.state = "online";
    failures = 0;
    [...unsent.children].forEach(transmit);
  };
  socket.onclose = () => {
    document.body.dataset.state = "offline";
    // Soon at first: most breaks are a restart. Then ever slower, and each page at a random
    // time of its own: a thousand of them must not come back in the same instant.
    const delay = failures++ ? Math.min(10_000, 300 * 1.6 ** failures) : 150;
    setTimeout(connect, delay * (0.5 + Math.random()));
  };
}

function transmit({ id, textContent }) {
  if (socket.readyState !== WebSocket.OPEN) return; // it goes when the connection is back
  socket.send(JSON.stringify({ key: id, text: textContent }));
}

function show({ type, text, messages, gap, key, error }) {
  if (gap) log.replaceChildren(); // too much was missed: begin as a fresh page does
  if (type === "messages") messages.forEach(showMessage);
  if (type === "line") addItem(log, "line", text);
  if (type === "reply") {
    const item = find(key);
    if (error) addItem(log, "error", error);
    if (error) input.value ||= item.textContent; // to correct it, unless they type already
    item.remove();
  }
}

function showMessage({ id, author, name, text, sent }) {
  if (find(`m${id}`)) return; // what we asked for again, we may have
  const item = find("blank").content.firstElementChild.cloneNode(true);
  const handle = name === author ? "" : `@${author}`;
  const time = new Date(sent).toLocaleTimeString([], { timeStyle: "short" });
  for (const [part, content] of Object.entries({ initial: name[0], name, handle, text, time })) {
    item.querySelector(`.${part}`).textContent = content; // never innerHTML: people wrote it
  }
  item.id = `m${id}`;
  item.title = new Date(sent).toLocaleString();
  item.dataset.author = author;
  item.style.setProperty("--hue", (author.charCodeAt() * 53 + author.length * 101) % 360);
  const later = id < newest && [...log.children].find((other) => Number(other.id.slice(1)) > id);
  log.insertBefore(item, later || null);
  item.classList.toggle("mine", author === me);
  item.classList.toggle("same", item.previousElementSibling?.dataset.author === author);
  newest = Math.max(newest, id);
}

function addItem(list, kind, text) {
  const item = list.appendChild(document.createElement("li"));
  item.className = kind;
  item.textContent = text;
  return item;
}

input.form.onsubmit = (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text) return;
  const item = addItem(unsent, "bubble", text);
  item.id = Date.now().toString(36) + Math.random().toString(36);
  input.value = "";
  transmit(item);
};
input.onkeydown = (event) => {
  const send = event.key === "Enter" && !event.shiftKey && !event.isComposing;
  if (send) input.form.onsubmit(event);
};
connect();
