"use strict";
const T = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const css = (name) => `var(--${name})`;
const esc = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

// Messages, by the index that the data uses; what gives way first when there are too many to draw.
const KINDS = [
  { name: "proposals", one: "proposal", colour: "proposal", rank: 1 },
  { name: "fragments", one: "fragment", colour: "fragment", rank: 7 },
  { name: "sliced verdicts", one: "Valid, Sliced", colour: "sliced", rank: 5 },
  { name: "full verdicts", one: "Valid, Full", colour: "full", rank: 4 },
  { name: "commits", one: "Commit", colour: "commit", rank: 4 },
  { name: "alerts", one: "Invalid", colour: "invalid", rank: 0 },
  { name: "certificates", one: "certificate", colour: "certificate", rank: 2 },
  { name: "view changes", one: "view change", colour: "view", rank: 1 },
  { name: "requests and blocks", one: "request or block", colour: "sync", rank: 6 },
];
const shape = {
  diamond: (x, y, r) => `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`,
  circle: (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  square: (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`,
  triangle: (x, y, r) => `M${x} ${y - r}L${x + r} ${y + r}H${x - r}Z`,
  play: (x, y, r) => `M${x - r} ${y - r}L${x + r} ${y}L${x - r} ${y + r}Z`,
  cross: (x, y, r) => `M${x - r} ${y - r}L${x + r} ${y + r}M${x + r} ${y - r}L${x - r} ${y + r}`,
  octagon: (x, y, r) => {
    const k = r * 0.42;
    return `M${x - k} ${y - r}H${x + k}L${x + r} ${y - k}V${y + k}L${x + k} ${y + r}H${x - k}L${x - r} ${y + k}V${y - k}Z`;
  },
  flag: (x, y, r) => `M${x} ${y + r}V${y - r}L${x + 1.6 * r} ${y - r / 2}L${x} ${y}`,
};
// Marks on a lane, by the index that the data uses. `dy`: where in the lane, in halves of its height.
const MARKS = [
  { name: "proposes", shape: "diamond", colour: "proposal", r: 5.5, dy: -0.1 },
  { name: "signs Valid, Sliced", shape: "circle", colour: "sliced", r: 3.2, dy: -0.1, busy: true },
  { name: "signs Valid, Full", shape: "square", colour: "full", r: 3, dy: -0.1, busy: true },
  { name: "signs Commit", shape: "triangle", colour: "commit", r: 3.6, dy: -0.1, busy: true },
  { name: "signs Invalid", shape: "cross", colour: "invalid", r: 4.5, dy: -0.1, line: 2.4 },
  { name: "decides by FastCert", shape: "pill", colour: "decided", r: 0, dy: 0.62 },
  { name: "decides by CommitCert", shape: "pill", colour: "certificate", r: 0, dy: 0.62 },
  { name: "has a conviction", shape: "octagon", colour: "invalid", r: 6, dy: -0.1 },
  { name: "wishes to leave the view", shape: "circle", colour: "view", r: 4, dy: -0.1, hollow: true },
  { name: "promises to leave the view", shape: "circle", colour: "view", r: 4.5, dy: -0.1 },
  { name: "opens a view", shape: "diamond", colour: "view", r: 6.5, dy: -0.1 },
  { name: "has evidence", shape: "flag", colour: "apart", r: 6, dy: -0.2, line: 1.6 },
  { name: "violation", shape: "cross", colour: "bad", r: 8, dy: 0, line: 3.6 },
  { name: "crashes", shape: "cross", colour: "quiet", r: 5, dy: 0, line: 2.4 },
  { name: "restarts", shape: "play", colour: "quiet", r: 5, dy: 0 },
  { name: "note", shape: "circle", colour: "quiet", r: 3, dy: 0.3 },
];
const ARROWS_MAX = 1400, LEFT = 104, RIGHT = 14, TOP = 24;
const lanes = T.lanes.length;
const laneHeight = Math.max(26, Math.min(50, Math.floor(640 / lanes)));
const [first, last] = T.window;
let [a, b] = [first, last];
const hidden = new Set();
let hits = [];

const seconds = (ms) => `${(ms / 1000).toFixed(3)} s`;
const short = (ms) => `${(ms / 1000).toFixed(b - a < 3000 ? 3 : 2)} s`;
const block = (index) => (index < 0 ? "" : T.blocks[index]);
const width = () => Math.max(360, byId("view").clientWidth);
const X = (ms) => LEFT + ((ms - a) / (b - a)) * (width() - LEFT - RIGHT);
const laneY = (lane, dy = 0) => TOP + laneHeight * (lane + 0.5 + dy / 2);
const tintOf = (view) => ["view", "commit", "apart", "proposal", "sliced"][(view - 1) % 5];

function show(from, to) {
  const least = 10, span = Math.max(least, Math.min(last - first, to - from));
  a = Math.max(first, Math.min(last - span, from));
  b = a + span;
  history.replaceState(null, "", `#t=${Math.round(a)}-${Math.round(b)}`);
  requestAnimationFrame(draw);
}
function jump(ms, around = 300) {
  show(ms - around, ms + around);
}
function zoom(factor, at = (a + b) / 2) {
  show(at - (at - a) * factor, at + (b - at) * factor);
}

/// Index of the first row of a table sorted by `column` that is at or after `ms`.
function lower(rows, column, ms) {
  let [lo, hi] = [0, rows.length];
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (rows[mid][column] < ms) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

function axis(width) {
  const wanted = (b - a) / Math.max(3, width / 110), base = 10 ** Math.floor(Math.log10(wanted));
  const step = Math.max(1, [1, 2, 5, 10].map((m) => m * base).find((s) => s >= wanted));
  let svg = "";
  for (let t = Math.ceil(a / step) * step; t <= b; t += step) {
    const x = X(t).toFixed(1);
    svg += `<path d="M${x} ${TOP - 4}V${laneY(lanes - 1, 1)}" stroke="${css("line")}" stroke-width=".7"/>`;
    svg += `<text class="q" x="${x}" y="13" text-anchor="middle">${(t / 1000).toFixed(step < 10 ? 3 : step < 100 ? 2 : step < 1000 ? 1 : 0)} s</text>`;
  }
  return svg;
}

function spans() {
  let svg = "";
  const edge = width() - RIGHT;
  for (const [kind, lane, from, to, text] of T.spans) {
    if (to < a || from > b) continue;
    const x = Math.max(LEFT, X(from)), w = Math.min(edge, X(to)) - x, y = laneY(lane, -1);
    if (w <= 0) continue;
    if (kind === "view") {
      const view = Number(text);
      if (view > 0) svg += `<rect x="${x}" y="${y + 1}" width="${w}" height="${laneHeight - 2}" fill="${css(tintOf(view))}" opacity="var(--tint)"/>`;
      if (view > 0 && w > 46 && X(from) >= LEFT - 1) svg += `<text class="q" x="${x + 4}" y="${y + 11}">view ${view}</text>`;
    } else {
      const fill = kind === "down" ? "url(#hatch)" : "url(#apart)";
      const [top, tall] = kind === "down" ? [y + 1, laneHeight - 2] : [y + laneHeight - 8, 6];
      svg += `<rect x="${x}" y="${top}" width="${Math.max(1.5, w)}" height="${tall}" fill="${fill}"/>`;
      if (w > 16 + 5.6 * text.length) svg += `<text class="q" x="${x + (kind === "down" ? 12 : 5)}" y="${kind === "down" ? laneY(lane, 0) + 4 : top - 2}">${esc(text)}</text>`;
      hits.push({ box: [x, top, w, tall], text: `<b>${esc(T.lanes[lane])}</b> ${esc(text)}\n${seconds(from)} to ${seconds(to)}` });
    }
  }
  return svg;
}

/// Which sends to draw: all that fit, by rank; of the first rank that does not fit, every k-th.
function thin() {
  const groups = new Map();
  // A message may be under way for long: look back as far as the slowest one.
  for (let i = lower(T.sends, 2, a - T.slowest); i < T.sends.length && T.sends[i][2] <= b; i++) {
    const send = T.sends[i];
    if (hidden.has(send[0])) continue;
    const rank = KINDS[send[0]].rank;
    if (!groups.has(rank)) groups.set(rank, []);
    groups.get(rank).push(send);
  }
  const chosen = [];
  let room = ARROWS_MAX, total = 0, drawn = 0;
  for (const rank of [...groups.keys()].sort()) {
    const all = groups.get(rank), arrows = all.reduce((sum, send) => sum + send[7].length / 2, 0);
    total += arrows;
    if (room <= 0) continue;
    const every = Math.ceil(arrows / room);
    // The last kind that is drawn is thinned only when a fair share of it is left.
    if (every > 8) { room = 0; continue; }
    for (let i = 0; i < all.length; i += every) {
      chosen.push(all[i]);
      drawn += all[i][7].length / 2;
    }
    room -= arrows;
  }
  return { chosen, total, drawn };
}

function arrows() {
  const { chosen, total, drawn } = thin();
  const strokes = new Map();
  const crowd = drawn > 500 ? 0.28 : drawn > 150 ? 0.5 : 0.8;
  let heads = "", lost = "";
  for (const send of chosen) {
    const [kind, from, at, height, view, hash, note, targets] = send;
    const x1 = X(at), y1 = laneY(from, -0.1);
    for (let i = 0; i < targets.length; i += 2) {
      const to = targets[i], took = targets[i + 1];
      if (at + Math.abs(took) < a || at > b) continue;
      const x2 = X(at + Math.max(took, 1)), y2 = laneY(to, -0.1);
      if (took < 0) {
        const [xm, ym] = [x1 + 4, y1 + (y2 - y1) * 0.45];
        lost += `<path d="M${x1.toFixed(1)} ${y1}L${xm.toFixed(1)} ${ym.toFixed(1)}" stroke="${css(KINDS[kind].colour)}" stroke-dasharray="2 3" opacity="${crowd}"/>`;
        lost += `<path d="${shape.cross(xm, ym, 2.6)}" stroke="${css("quiet")}" opacity=".8"/>`;
        hits.push({ line: [x1, y1, xm, ym], send, to, took });
        continue;
      }
      strokes.set(kind, (strokes.get(kind) || "") + `M${x1.toFixed(1)} ${y1}L${x2.toFixed(1)} ${y2}`);
      hits.push({ line: [x1, y1, x2, y2], send, to, took });
      if (drawn < 320) {
        const len = Math.hypot(x2 - x1, y2 - y1) || 1, ux = (x2 - x1) / len, uy = (y2 - y1) / len;
        const [bx, by] = [x2 - 6 * ux, y2 - 6 * uy];
        heads += `<path d="M${x2.toFixed(1)} ${y2}L${(bx - 2.4 * uy).toFixed(1)} ${(by + 2.4 * ux).toFixed(1)}L${(bx + 2.4 * uy).toFixed(1)} ${(by - 2.4 * ux).toFixed(1)}Z" fill="${css(KINDS[kind].colour)}"/>`;
      }
    }
  }
  let svg = "";
  for (const [kind, path] of [...strokes].sort((p, q) => KINDS[q[0]].rank - KINDS[p[0]].rank)) {
    svg += `<path d="${path}" stroke="${css(KINDS[kind].colour)}" stroke-width="${KINDS[kind].rank < 3 ? 1.3 : 0.9}" fill="none" opacity="${KINDS[kind].rank < 2 ? Math.max(crowd, 0.6) : crowd}"/>`;
  }
  byId("shown").textContent = total === 0 ? "no messages here" : drawn < total
    ? `${Math.round(drawn)} of ${Math.round(total)} messages drawn; zoom in for all` : `all ${total} messages drawn`;
  return svg + lost + heads;
}

function one(kind, x, y, count, label) {
  const mark = MARKS[kind];
  if (mark.shape === "pill" && label === "") return `<circle cx="${x.toFixed(1)}" cy="${y}" r="2" fill="${css(mark.colour)}"/>`;
  if (mark.shape === "pill") {
    const w = 8 + 6 * label.length;
    return `<rect x="${(x - w / 2).toFixed(1)}" y="${y - 7}" width="${w}" height="13" rx="6.5" fill="${css(mark.colour)}"/><text class="in" x="${x.toFixed(1)}" y="${y + 3.2}">${label}</text>`;
  }
  const path = shape[mark.shape](+x.toFixed(1), y, mark.r + (count > 3 ? 1 : 0)), colour = css(mark.colour);
  if (mark.line) return `<path d="${path}" stroke="${colour}" stroke-width="${mark.line}" fill="${mark.shape === "flag" ? colour : "none"}"/>`;
  return `<path d="${path}" fill="${mark.hollow ? css("lane") : colour}" stroke="${mark.hollow ? colour : css("lane")}" stroke-width="${mark.hollow ? 1.8 : 0.8}"/>`;
}

/// Every how many-th decided height has room for its number.
function heightStep() {
  const from = T.progress[lower(T.progress, 0, a) - 1], to = T.progress[lower(T.progress, 0, b + 1) - 1];
  const heights = Math.max(1, (to ? to[1] : 0) - (from ? from[1] : 0));
  const least = (heights * 40) / (width() - LEFT - RIGHT);
  return [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((step) => step >= least) || 5000;
}

function marks() {
  const merged = new Map(), wide = (b - a) / (width() - LEFT - RIGHT), step = heightStep();
  for (let i = lower(T.marks, 2, a); i < T.marks.length && T.marks[i][2] <= b; i++) {
    const row = T.marks[i], [kind, lane, at] = row;
    if (MARKS[kind].busy && wide > 25) continue;
    const numbered = MARKS[kind].shape === "pill" && row[3] % step === 0;
    const key = numbered ? `${kind}.${lane}.${row[3]}` : `${kind}.${lane}.at${Math.floor(at / wide / 7)}`;
    const held = merged.get(key);
    if (held) held.rows.push(row);
    else merged.set(key, { kind, lane, rows: [row], numbered });
  }
  let [low, high] = ["", ""];
  for (const { kind, lane, rows, numbered } of merged.values()) {
    const x = X(rows[rows.length - 1][2]), y = laneY(lane, MARKS[kind].dy);
    const svg = one(kind, x, y, rows.length, numbered ? String(rows[0][3]) : "");
    if (numbered || [4, 7, 10, 11, 12].includes(kind)) high += svg;
    else low += svg;
    hits.push({ at: [x, y], rows });
  }
  return low + high;
}

function draw() {
  hits = [];
  const w = width(), bottom = laneY(lanes - 1, 1);
  let svg = `<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" fill="${css("lane")}"/><path d="M0 0V7" stroke="${css("down")}" stroke-width="6"/></pattern>`;
  svg += `<pattern id="apart" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)"><path d="M0 0V6" stroke="${css("apart")}" stroke-width="5"/></pattern>`;
  svg += `<clipPath id="clip"><rect x="${LEFT}" y="0" width="${w - LEFT - RIGHT + 8}" height="${bottom + 8}"/></clipPath></defs>`;
  svg += axis(w);
  svg += `<g clip-path="url(#clip)">${spans()}</g>`;
  for (let lane = 0; lane <= lanes; lane++) {
    const y = laneY(lane, -1);
    svg += `<path d="M0 ${y}H${w}" stroke="${css("line")}" stroke-width=".8"/>`;
    if (lane === lanes) continue;
    const role = T.roles[lane];
    svg += `<text class="b" x="10" y="${laneY(lane) + (role ? -2 : 4)}">${esc(T.lanes[lane])}</text>`;
    if (role) svg += `<text x="10" y="${laneY(lane) + 11}" style="fill:${css("bad")};font-size:10px">${esc(role.length > 17 ? role.slice(0, 16) + "…" : role)}</text>`;
    hits.push({ box: [0, y, LEFT, laneHeight], text: `<b>${esc(T.lanes[lane])}</b>${role ? `: ${esc(role)}` : ""}` });
  }
  svg += `<g clip-path="url(#clip)">${arrows()}${marks()}`;
  svg += "</g>";
  let free = 0;
  for (const [at, rule] of T.violations) {
    if (at < a || at > b) continue;
    const x = X(at);
    svg += `<path d="M${x} ${TOP - 6}V${bottom + 6}" stroke="${css("bad")}" stroke-width="1.6" stroke-dasharray="5 3"/>`;
    if (x < free) continue;
    svg += `<text x="${x + 4}" y="${bottom + 14}" style="fill:${css("bad")};font-weight:650">${esc(rule)}</text>`;
    free = x + 12 + 7 * rule.length;
  }
  byId("view").style.height = `${bottom + 20}px`;
  byId("view").innerHTML = svg;
  overview();
}

function overview() {
  const w = byId("over").clientWidth, x = (ms) => ((ms - first) / (last - first)) * w, row = 54 / lanes;
  let svg = "";
  for (const [kind, lane, from, to, text] of T.spans) {
    const colour = kind === "down" ? "quiet" : kind === "view" ? (text === "0" ? null : tintOf(Number(text))) : "apart";
    if (colour) svg += `<rect x="${x(from).toFixed(1)}" y="${(lane * row).toFixed(1)}" width="${Math.max(1, x(to) - x(from)).toFixed(1)}" height="${row.toFixed(1)}" fill="${css(colour)}" opacity="${kind === "view" ? 0.22 : 0.65}"/>`;
  }
  if (T.progress.length > 0) {
    const top = Math.max(1, T.progress[T.progress.length - 1][1]);
    let path = "M0 53";
    for (const [at, height] of T.progress) path += `H${x(at).toFixed(1)}V${(53 - (height / top) * 48).toFixed(1)}`;
    svg += `<path d="${path}H${w}" fill="none" stroke="${css("decided")}" stroke-width="1.6"/>`;
    svg += `<text class="q" x="6" y="13">decided height, up to ${top}</text>`;
  }
  for (const [at] of T.violations) svg += `<path d="M${x(at)} 0V54" stroke="${css("bad")}" stroke-width="2"/>`;
  const [l, r] = [x(a), x(b)];
  svg += `<path d="M0 0H${l}V54H0ZM${r} 0H${w}V54H${r}Z" fill="${css("ground")}" opacity=".55"/>`;
  svg += `<rect x="${l + 0.75}" y=".75" width="${Math.max(2, r - l - 1.5)}" height="52.5" fill="none" stroke="${css("ink")}" stroke-width="1.5" rx="3"/>`;
  byId("over").innerHTML = svg;
}

function words(hit) {
  if (hit.text) return hit.text;
  if (hit.send) {
    const [kind, from, at, height, view, hash, note] = hit.send;
    const fate = hit.took < 0 ? "never arrived" : `arrived ${seconds(at + hit.took)}, after ${hit.took} ms`;
    const about = hash < 0 ? "" : `\nheight ${height}, view ${view}, block ${block(hash)}`;
    return `<b>${esc(T.lanes[from])} → ${esc(T.lanes[hit.to])}</b>: ${esc(note < 0 ? KINDS[kind].one : T.notes[note])}${about}\nsent ${seconds(at)}, ${fate}`;
  }
  const shownRows = hit.rows.slice(0, 6).map(([kind, lane, at, height, view, hash, note]) => {
    const about = hash < 0 ? "" : ` · height ${height}, view ${view}, block ${block(hash)}`;
    return `<b>${esc(T.lanes[lane])}</b> ${esc(note < 0 ? MARKS[kind].name : T.notes[note])}${about} · ${seconds(at)}`;
  });
  if (hit.rows.length > 6) shownRows.push(`and ${hit.rows.length - 6} more`);
  return shownRows.join("\n");
}

function near(px, py) {
  let best = null, least = 9;
  for (const hit of hits) {
    let away = Infinity;
    if (hit.at) away = Math.hypot(px - hit.at[0], py - hit.at[1]) - 2;
    else if (hit.line) {
      const [x1, y1, x2, y2] = hit.line, [dx, dy] = [x2 - x1, y2 - y1];
      const t = Math.max(0, Math.min(1, ((px - x1) * dx + (py - y1) * dy) / (dx * dx + dy * dy || 1)));
      away = Math.hypot(px - x1 - t * dx, py - y1 - t * dy) + 3;
    } else {
      const [x, y, w, h] = hit.box;
      if (px >= x && px <= x + w && py >= y && py <= y + h) away = 8.5;
    }
    if (away < least) [best, least] = [hit, away];
  }
  return best;
}

function link(list, at, text, style) {
  const item = document.createElement("li"), anchor = document.createElement("a"), time = document.createElement("b");
  const span = document.createElement("span");
  anchor.href = `#t=${at}`;
  time.textContent = `${(at / 1000).toFixed(2)} s`;
  span.textContent = text;
  if (style) span.style.color = css(style);
  anchor.append(time, span);
  anchor.onclick = (event) => { event.preventDefault(); jump(at); };
  item.append(anchor);
  list.append(item);
}

function head() {
  byId("title").textContent = T.title;
  byId("subtitle").textContent = T.subtitle;
  const bad = T.violations.length;
  byId("verdict").textContent = bad === 0 ? "no rule broken" : `${T.violationsAll} wrong`;
  byId("verdict").classList.toggle("bad", bad > 0);
  byId("facts").innerHTML = T.facts.map(([label, value]) => `<div><dt>${esc(label)}</dt><dd>${esc(value)}</dd></div>`).join("");
  byId("faults").innerHTML = T.faults.length === 0 ? `<li>none</li>` : T.faults.map(([name, count]) => `<li>${esc(name)} <b>${count}</b></li>`).join("");
  byId("cut").hidden = T.cut === "";
  byId("cut").textContent = T.cut;
  byId("violations").hidden = bad === 0;
  for (const [at, rule, text] of T.violations) link(byId("violations").querySelector("ol"), at, `${rule}: ${text}`);
  for (const [at, style, text] of T.story) link(byId("story"), at, text, style);
  byId("storycut").textContent = T.storyLeft > 0 ? `and ${T.storyLeft} more` : "";
  for (const [index, kind] of KINDS.entries()) {
    const button = document.createElement("button");
    button.className = "kind";
    button.style.setProperty("--c", css(kind.colour));
    button.innerHTML = `<i></i>${kind.name}`;
    button.setAttribute("aria-pressed", "true");
    button.onclick = () => {
      if (!hidden.delete(index)) hidden.add(index);
      button.setAttribute("aria-pressed", String(!hidden.has(index)));
      draw();
    };
    byId("kinds").append(button);
  }
  byId("legend").innerHTML = MARKS.map((mark, index) =>
    `<span><svg viewBox="0 0 16 14">${one(index, 8, mark.shape === "pill" ? 8 : 7, 1, "7")}</svg>${mark.name}</span>`).join("") +
    `<span>drag to move · wheel or + − to zoom · v for the next violation · hover for details</span>`;
}

function follow(event) {
  const box = byId("view").getBoundingClientRect();
  const hit = near(event.clientX - box.left, event.clientY - box.top), tip = byId("tip");
  tip.hidden = hit === null;
  if (hit === null) return;
  tip.innerHTML = words(hit);
  const [w, h] = [tip.offsetWidth, tip.offsetHeight];
  tip.style.left = `${Math.max(4, Math.min(innerWidth - w - 8, event.clientX + 14))}px`;
  tip.style.top = `${event.clientY + 18 + h > innerHeight ? event.clientY - h - 10 : event.clientY + 18}px`;
}

function wire() {
  const view = byId("view"), over = byId("over");
  let grab = null, brush = null;
  const timeAt = (event) => a + ((event.clientX - view.getBoundingClientRect().left - LEFT) / (width() - LEFT - RIGHT)) * (b - a);
  const overAt = (event) => first + ((event.clientX - over.getBoundingClientRect().left) / over.clientWidth) * (last - first);
  view.onwheel = (event) => {
    if (!event.ctrlKey && Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const by = (event.deltaX / width()) * (b - a);
      return show(a + by, b + by);
    }
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event));
  };
  view.onpointerdown = (event) => { grab = [event.clientX, a, b]; view.setPointerCapture(event.pointerId); view.classList.add("drag"); };
  view.onpointermove = (event) => {
    if (!grab) return follow(event);
    const by = ((grab[0] - event.clientX) / (width() - LEFT - RIGHT)) * (grab[2] - grab[1]);
    show(grab[1] + by, grab[2] + by);
  };
  view.onpointerup = () => { grab = null; view.classList.remove("drag"); };
  view.onpointerleave = () => { byId("tip").hidden = true; };
  view.ondblclick = (event) => zoom(0.4, timeAt(event));
  over.onpointerdown = (event) => { brush = overAt(event); over.setPointerCapture(event.pointerId); };
  over.onpointermove = (event) => {
    if (brush === null) return;
    const at = overAt(event);
    if (Math.abs(at - brush) > (last - first) / 200) show(Math.min(at, brush), Math.max(at, brush));
  };
  over.onpointerup = (event) => {
    if (Math.abs(overAt(event) - brush) <= (last - first) / 200) show(brush - (b - a) / 2, brush + (b - a) / 2);
    brush = null;
  };
  byId("in").onclick = () => zoom(0.5);
  byId("out").onclick = () => zoom(2);
  byId("all").onclick = () => show(first, last);
  addEventListener("resize", draw);
  addEventListener("keydown", (event) => {
    const by = (b - a) / 4;
    if (event.key === "+" || event.key === "=") zoom(0.6);
    else if (event.key === "-") zoom(1.6);
    else if (event.key === "0") show(first, last);
    else if (event.key === "ArrowRight") show(a + by, b + by);
    else if (event.key === "ArrowLeft") show(a - by, b - by);
    else if (event.key === "v" && T.violations.length > 0) {
      const next = T.violations.find(([at]) => at > (a + b) / 2 + 1) || T.violations[0];
      jump(next[0]);
    } else return;
    event.preventDefault();
  });
}

head();
wire();
const asked = /^#t=(\d+)(?:-(\d+))?$/.exec(location.hash);
if (asked && asked[2]) show(Number(asked[1]), Number(asked[2]));
else if (asked) jump(Number(asked[1]));
else if (T.violations.length > 0 && last - first > 4000) show(T.violations[0][0] - 2200, T.violations[0][0] + 500);
else draw();
