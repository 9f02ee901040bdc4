// The page of the demo. Each of "your visitors" is a WebSocket; the first open one also brings the room's news.
import { draw, spark } from "./diagram.js";

const $ = (id) => document.getElementById(id);
const WORDS = { up: "in the pool", down: "out of the pool", unknown: "not probed yet", draining: "draining" };
const PROBES = 10, LINES = 200, MOST_VISITORS = 12;

const mine = [];          // Visitor objects of this page
let speaker = null;       // the one that the composer speaks for
let room = new Map();     // everybody: id -> {id, backend}
let backends = [];        // as the last "state" said
let lastNumber = 0;       // of the messages that are on the page
let counter = 0;

// -- the log

function addLine(item) {
  const log = $("log"), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(item);
  while (log.childElementCount > LINES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function note(text, kind = "") {
  const item = document.createElement("li");
  item.className = `event ${kind}`;
  item.textContent = text;
  addLine(item);
}

function showMessage(message) {
  if (message.number <= lastNumber) return;
  lastNumber = message.number;
  const item = document.createElement("li"), who = document.createElement("span"), time = document.createElement("time");
  item.className = message.backend;
  who.className = "who";
  who.textContent = `Visitor ${message.from} via ${message.backend}: `;
  time.textContent = new Date(message.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  item.append(who, message.text, time);
  addLine(item);
}

// -- the pool

function stateOf(backend) {
  return backend.gateway ? backend.gateway.state : backend.failing ? "down" : "up";
}

function noteChanges(next) {
  const before = new Map(backends.map((backend) => [backend.name, stateOf(backend)]));
  for (const backend of next) {
    const state = stateOf(backend), old = before.get(backend.name);
    if (old === undefined || old === state) continue;
    const left = next.some((other) => stateOf(other) === "up");
    const where = left ? "New visitors go elsewhere" : "Nobody is left: new visitors get a 502";
    if (state === "down") note(`${backend.name} has left the pool. ${where}; open sockets stay.`, "alarm");
    else if (state === "up") note(`${backend.name} is in the pool again.`, "relief");
    $("status").textContent = `Backend ${backend.name} is now ${WORDS[state] ?? state}`;
  }
}

function showProbes(box, probes) {
  const bars = probes.slice(-PROBES).map((probe) => {
    const bar = document.createElement("i");
    if (!probe.healthy) bar.className = "bad";
    bar.title = `${new Date(probe.at).toLocaleTimeString()} ${probe.reason}`;
    return bar;
  });
  while (bars.length < PROBES) {
    const bar = document.createElement("i");
    bar.className = "none";
    bars.unshift(bar);
  }
  box.replaceChildren(...bars);
  const good = probes.filter((probe) => probe.healthy).length;
  box.setAttribute("aria-label", `${good} of the last ${probes.length} probes were good`);
}

function cardFor(backend) {
  const box = $("backends");
  let card = box.querySelector(`[data-name="${CSS.escape(backend.name)}"]`);
  if (!card) {
    box.querySelector(".empty")?.remove();
    card = $("backend-card").content.firstElementChild.cloneNode(true);
    card.dataset.name = backend.name;
    card.classList.add(backend.name);
    card.querySelector(".chip").textContent = backend.name;
    card.querySelector(".switch").addEventListener("click", () => control(backend.name));
    box.append(card);
  }
  return card;
}

function showBackend(backend) {
  const card = cardFor(backend), state = stateOf(backend), probes = backend.gateway?.probes ?? [];
  const put = (selector, text) => {
    const element = card.querySelector(selector);
    if (element.textContent !== text) element.textContent = text;
    return element;
  };
  put(".pill", WORDS[state] ?? state).className = `pill ${state}`;
  put(".reason", backend.gateway ? backend.gateway.reason : "Looked at directly: no gateway is in between.");
  put(".address", backend.address);
  put(".sockets", String(backend.sockets));
  const last = probes.at(-1);
  put(".probe", last ? `${new Date(last.at).toLocaleTimeString()}, ${(last.seconds * 1000).toFixed(1)} ms` : "none");
  showProbes(card.querySelector(".probes"), probes);
  const wait = backend.comesBackIn === null ? "" : ` (by itself in ${Math.max(0, backend.comesBackIn)} s)`;
  put(".switch", backend.failing ? `Let it come back${wait}` : "Make it fail its probe");
}

function showState(next) {
  noteChanges(next);
  backends = next;
  backends.forEach(showBackend);
  redraw();
}

function control(name) {
  const failing = backends.find((backend) => backend.name === name)?.failing;
  const word = failing ? "recover" : "fail";
  const open = mine.find((visitor) => visitor.open);
  // By an open socket if there is one: it works even when no backend is left for new requests.
  if (open) return open.send({ type: word, backend: name });
  fetch(`/api/backends/${encodeURIComponent(name)}/${word}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" })
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`the gateway answered ${answer.status}`))))
    .then((state) => showState(state.backends))
    .catch((error) => note(`That did not work: ${error.message}. Backends come back by themselves within two minutes.`, "alarm"));
}

// -- visitors

class Visitor {
  constructor() {
    this.id = null;
    this.backend = "none";
    this.socket = null;
    this.failures = 0;
    this.timer = 0;
    this.detail = "";
    this.row = $("visitor-row").content.firstElementChild.cloneNode(true);
    this.radio = this.row.querySelector("input");
    this.radio.addEventListener("change", () => choose(this));
    this.row.querySelector(".again").addEventListener("click", () => this.reconnect());
    this.row.querySelector(".leave").addEventListener("click", () => this.leave());
    this.order = ++counter;
    $("visitors").append(this.row);
    this.connect();
  }

  get open() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN && this.id !== null;
  }

  get name() {
    return this.id === null ? "A visitor" : `Visitor ${this.id}`;
  }

  connect() {
    clearTimeout(this.timer);
    clearInterval(this.timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/chat`);
    this.socket = socket;
    this.show("connecting …");
    socket.addEventListener("message", (event) => this.socket === socket && this.receive(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => this.socket === socket && this.closed(event));
  }

  send(message) {
    if (this.open) this.socket.send(JSON.stringify(message));
  }

  receive(message) {
    if (message.type === "hello") {
      this.id = message.id;
      this.backend = message.backend;
      this.failures = 0;
      this.show("");
      room = new Map(message.visitors.map((visitor) => [visitor.id, visitor]));
      if (message.history.every((item) => item.number < lastNumber)) lastNumber = message.history.at(-1)?.number ?? 0;
      message.history.forEach(showMessage);
      note(`You are visitor ${this.id}; the gateway gave you to ${this.backend}.`);
      if (!speaker?.open) choose(this);
      showState(message.backends);
    } else if (message.type === "error") {
      note(message.text, "alarm");
    } else if (mine.find((visitor) => visitor.open) === this) {
      this.news(message);
    }
  }

  news(message) {
    if (message.type === "message") {
      showMessage(message);
      spark($("diagram"), message.from, message.backend);
    } else if (message.type === "state") {
      showState(message.backends);
    } else if (message.type === "joined") {
      room.set(message.visitor.id, message.visitor);
      // A little later: it may be one of ours that does not know its number yet.
      setTimeout(() => {
        if (!mine.some((visitor) => visitor.id === message.visitor.id)) note(`Visitor ${message.visitor.id} came in through ${message.visitor.backend}.`);
      }, 400);
      redraw();
    } else if (message.type === "left") {
      room.delete(message.visitor.id);
      note(`Visitor ${message.visitor.id} has gone (was with ${message.visitor.backend}).`);
      redraw();
    }
  }

  closed(event) {
    const why = `closed with ${event.code}${event.reason ? `, “${event.reason}”` : event.code === 1006 ? ", without a close frame" : ""}`;
    if (this.id !== null) note(`${this.name} (you): ${why}.`, "alarm");
    this.forget();
    this.failures += 1;
    let left = Math.ceil(Math.min(15, 2 ** (this.failures - 1)) * (0.75 + Math.random() / 2));
    const tick = () => {
      if (left <= 0) return this.connect();
      this.show(`${why}; trying again in ${left} s`);
      left -= 1;
    };
    tick();
    this.timer = setInterval(tick, 1000);
  }

  forget() {
    if (this.id !== null) room.delete(this.id);
    this.id = null;
    this.backend = "none";
    if (speaker === this) choose(mine.find((visitor) => visitor.open) ?? this);
    redraw();
  }

  reconnect() {
    this.drop("reconnect");
    this.failures = 0;
    this.connect();
  }

  drop(reason) {
    const socket = this.socket;
    clearInterval(this.timer);
    this.socket = null;
    socket?.close(1000, reason);
    this.forget();
  }

  leave() {
    this.drop("goodbye");
    mine.splice(mine.indexOf(this), 1);
    this.row.remove();
    if (speaker === this) choose(mine.find((visitor) => visitor.open) ?? mine[0] ?? null);
    showButtons();
    $("another").focus();
  }

  show(detail) {
    this.detail = detail;
    this.row.querySelector(".name").textContent = this.name;
    const chip = this.row.querySelector(".chip");
    chip.className = `chip ${this.backend}`;
    chip.textContent = this.backend === "none" ? "nowhere" : this.backend;
    this.row.querySelector(".detail").textContent = detail;
    this.row.querySelector(".again").setAttribute("aria-label", `Reconnect ${this.name}`);
    this.row.querySelector(".leave").setAttribute("aria-label", `Close ${this.name}`);
    if (speaker === this) choose(this);
  }
}

function choose(visitor) {
  speaker = visitor;
  if (visitor) visitor.radio.checked = true;
  $("speaker").textContent = visitor?.open ? `visitor ${visitor.id}, via ${visitor.backend}` : "nobody: not connected";
  $("send").disabled = !visitor?.open;
}

function showButtons() {
  $("another").disabled = mine.length >= MOST_VISITORS;
}

function openVisitor() {
  mine.push(new Visitor());
  showButtons();
}

// -- the picture: at most one drawing per frame

let due = false;
function redraw() {
  if (due) return;
  due = true;
  // Not requestAnimationFrame: it never comes in a tab that is hidden.
  setTimeout(() => {
    due = false;
    const own = new Set(mine.map((visitor) => visitor.id));
    const everybody = [...room.values()].map((visitor) => ({ ...visitor, mine: own.has(visitor.id) }));
    everybody.sort((a, b) => b.mine - a.mine || a.id - b.id);
    draw($("diagram"), everybody, backends.map((backend) => ({ name: backend.name, state: stateOf(backend), sockets: backend.sockets })));
  }, 16);
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || !speaker?.open) return;
  speaker.send({ type: "say", text });
  $("text").value = "";
});
$("another").addEventListener("click", openVisitor);
// "/?visitors=5" opens five at once.
const wanted = Number(new URLSearchParams(location.search).get("visitors")) || 1;
for (let number = 0; number < Math.max(1, Math.min(wanted, MOST_VISITORS)); number += 1) openVisitor();
