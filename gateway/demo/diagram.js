// The picture: visitors on the left, the gateway in the middle, backends on the right; one strand per WebSocket.
const SPACE = "http://www.w3.org/2000/svg";
const SHOWN = 8;
const WIDTH = 960, LEFT = 190, MIDDLE = 480, RIGHT = 730, HALF = 75;
const WORDS = { up: "in the pool", down: "out of the pool", unknown: "not probed yet", draining: "draining" };

function make(tag, attributes, text) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function spread(count, height, index) {
  return (height * (index + 0.5)) / count;
}

function curve(fromX, fromY, toX, toY) {
  const bend = (toX - fromX) / 2;
  return `C ${fromX + bend} ${fromY} ${toX - bend} ${toY} ${toX} ${toY}`;
}

// A strand runs from its visitor through its own lane in the gateway to its backend.
function route(visitorY, lane, backendY, centre) {
  const inside = centre + lane;
  return `M ${LEFT} ${visitorY} ${curve(LEFT, visitorY, MIDDLE - HALF, inside)} L ${MIDDLE + HALF} ${inside} ${curve(MIDDLE + HALF, inside, RIGHT, backendY)}`;
}

function summary(visitors, backends) {
  const people = `${visitors.length} ${visitors.length === 1 ? "visitor" : "visitors"} at the gateway.`;
  return [people, ...backends.map((backend) => `Backend ${backend.name} is ${WORDS[backend.state] ?? backend.state} and has ${backend.sockets} open sockets.`)].join(" ");
}

export function draw(svg, visitors, backends) {
  const shown = visitors.length > SHOWN ? visitors.slice(0, SHOWN - 1) : visitors;
  const more = visitors.length - shown.length;
  const rows = shown.length + (more ? 1 : 0);
  const height = Math.max(190, rows * 46, backends.length * 95);
  const centre = height / 2;
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
  svg.setAttribute("aria-label", summary(visitors, backends));
  const lines = make("g", {}), boxes = make("g", {});
  const at = new Map(backends.map((backend, index) => [backend.name, spread(backends.length, height, index)]));

  for (const backend of backends) {
    // The probes' way; a strand shows it just as well.
    if (backend.state === "up" && backend.sockets) continue;
    const y = at.get(backend.name);
    lines.append(make("path", { class: `watch ${backend.state}`, d: `M ${MIDDLE + HALF} ${centre} ${curve(MIDDLE + HALF, centre, RIGHT, y)}` }));
  }
  shown.forEach((visitor, index) => {
    const y = spread(rows, height, index);
    const lane = (index - (shown.length - 1) / 2) * Math.min(9, 60 / shown.length);
    const goal = at.get(visitor.backend);
    if (goal !== undefined) {
      lines.append(make("path", { class: `strand ${visitor.backend}`, id: `strand-${visitor.id}`, d: route(y, lane, goal, centre) }));
    }
    boxes.append(make("rect", { class: `box ${visitor.backend} ${visitor.mine ? "mine" : ""}`, x: 20, y: y - 17, width: LEFT - 20, height: 34, rx: 17 }));
    boxes.append(make("circle", { class: `dot ${visitor.backend}`, cx: 40, cy: y, r: 6 }));
    boxes.append(make("text", { x: 55, y: y + 5 }, `Visitor ${visitor.id}${visitor.mine ? " (you)" : ""}`));
  });
  if (more) boxes.append(make("text", { class: "small", x: 55, y: spread(rows, height, rows - 1) + 5 }, `and ${more} more`));

  boxes.append(make("rect", { class: "gateway", x: MIDDLE - HALF, y: centre - 52, width: 2 * HALF, height: 104, rx: 16 }));
  boxes.append(make("text", { x: MIDDLE, y: centre + 1, "text-anchor": "middle", "font-weight": 650 }, "Gateway"));
  const healthy = backends.filter((backend) => backend.state === "up").length;
  boxes.append(make("text", { class: "small", x: MIDDLE, y: centre + 21, "text-anchor": "middle" }, `${healthy} of ${backends.length} in the pool`));

  for (const backend of backends) {
    const y = at.get(backend.name);
    boxes.append(make("rect", { class: `box backend ${backend.name} ${backend.state}`, x: RIGHT, y: y - 34, width: WIDTH - RIGHT - 20, height: 68, rx: 14 }));
    boxes.append(make("circle", { class: `dot ${backend.name}`, cx: RIGHT + 24, cy: y - 9, r: 6 }));
    boxes.append(make("text", { x: RIGHT + 40, y: y - 4, "font-weight": 650 }, backend.name));
    boxes.append(make("text", { class: `small mark-${backend.state}`, x: RIGHT + 18, y: y + 19 }, `${backend.state === "up" ? "✓" : backend.state === "down" ? "✕" : "…"} ${WORDS[backend.state] ?? backend.state}`));
    boxes.append(make("text", { class: "small", x: WIDTH - 38, y: y - 4, "text-anchor": "end" }, `${backend.sockets} ${backend.sockets === 1 ? "socket" : "sockets"}`));
  }
  const sparks = svg.querySelector(".sparks") ?? make("g", { class: "sparks" });
  svg.replaceChildren(lines, sparks, boxes);
}

// A message travels from its visitor to the backend and back.
export function spark(svg, visitor, backend) {
  const layer = svg.querySelector(".sparks");
  if (!layer || document.hidden || matchMedia("(prefers-reduced-motion: reduce)").matches || layer.childElementCount > 20) return;
  const dot = make("circle", { class: `spark ${backend}`, r: 7 });
  layer.append(dot);
  const begin = performance.now();
  const move = (now) => {
    // Looked up each time: the picture may have been drawn anew meanwhile.
    const path = svg.querySelector(`#strand-${Number(visitor)}`);
    const part = (now - begin) / 900;
    if (!path || part >= 1) return dot.remove();
    const place = path.getPointAtLength(path.getTotalLength() * (1 - Math.abs(1 - 2 * part)));
    dot.setAttribute("cx", place.x);
    dot.setAttribute("cy", place.y);
    requestAnimationFrame(move);
  };
  requestAnimationFrame(move);
}
