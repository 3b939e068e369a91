// Fills the page of `watch --web` with what the server tells, and asks for what buttons say. Everything
// that comes from there is put in as text.
"use strict";
(() => {
  const LOOK_MS = 500;
  const GRAPH_MS = 5000;
  const WINDOW_S = 300;
  const LOSING = 5;
  const SVG = "http://www.w3.org/2000/svg";
  const MARKS = {
    "-": ["behind", "behind"],
    "?": ["unknown", "up, tip unknown"],
    ".": ["starting", "starting"],
    "x": ["down", "down"],
    "z": ["frozen", "frozen"],
    "!": ["ended", "ended by itself"],
    "_": ["down", "removed"],
  };
  const byId = (id) => document.getElementById(id);

  let seen = null;
  let samples = [];
  let since = 0;
  let graph = null;
  let chosen = 0;
  let circles = [];
  let lines = [];

  // The class of a mark's colour.
  const classOf = (mark) => {
    if (mark in MARKS) return MARKS[mark][0];
    const branch = mark === "+" ? 26 : mark.charCodeAt(0) - 65;
    return branch === 0 ? "final" : "lose" + ((branch - 1) % LOSING);
  };
  const words = (mark) => (mark in MARKS ? MARKS[mark][1] : "on branch " + mark);
  // A sample has no mark of a node that joined after it.
  const markOf = (sample, node) => sample.marks[node] ?? "x";

  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const shape = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const said = (text) => { byId("said").textContent = text; };

  async function ask(what) {
    const answer = await fetch(what, { cache: "no-store" });
    if (!answer.ok) throw new Error("the server answers " + answer.status);
    return answer.json();
  }

  async function look() {
    let state;
    try {
      state = await ask("state?since=" + since);
    } catch (error) {
      return over();
    }
    if (state.ended) return over();
    try {
      take(state);
    } finally {
      setTimeout(look, LOOK_MS);
    }
  }

  async function lookAtGraph() {
    if (seen === "over") return;
    try {
      graph = await ask("graph");
      drawGraph();
    } finally {
      setTimeout(lookAtGraph, GRAPH_MS);
    }
  }

  function over() {
    seen = "over";
    byId("pill").textContent = "ENDED";
    byId("pill").className = "pill";
    said("The network has ended, or whoever showed it has.");
    for (const button of document.querySelectorAll("button")) button.disabled = true;
  }

  function take(state) {
    seen = state;
    for (const sample of state.samples) {
      samples.push(sample);
      since = sample.n + 1;
    }
    const last = samples[samples.length - 1];
    while (samples.length > 1 && samples[0].t < last.t - WINDOW_S) samples.shift();
    drawFacts();
    drawBranches();
    drawCosts();
    colourGraph();
    drawHistory();
  }

  function drawFacts() {
    const status = seen.status;
    const pill = byId("pill");
    const several = status.branches.length > 1;
    pill.textContent = status.agreed ? "AGREED" : several ? "SPLIT" : "SPREADING";
    pill.className = "pill " + (status.agreed ? "passed" : several ? "inconclusive" : "");
    const facts = [
      "engine " + status.engine,
      "up for " + Math.floor(status.up_for_ns / 1e9) + " s",
      status.nodes_up + " of " + status.nodes + " nodes up",
      "height " + status.height,
      status.blocks + " blocks, " + status.transactions + " transactions",
    ];
    byId("facts").replaceChildren(...facts.map((fact) => element("span", fact)));
    const node = seen.nodes[chosen];
    byId("chosen").textContent = node ? node.node : "";
  }

  function row(...cells) {
    const made = element("tr");
    for (const cell of cells) {
      const data = element("td");
      data.append(cell);
      made.append(data);
    }
    return made;
  }

  function drawBranches() {
    const status = seen.status;
    const rows = status.branches.slice(0, 8).map((branch, nth) => {
      const letter = String.fromCharCode(65 + Math.min(seen.branches[nth], 25));
      const colour = element("span");
      colour.append(element("i", undefined, classOf(letter)), " " + letter);
      const names = branch.nodes.slice(0, 4).join(", ");
      const more = branch.nodes.length > 4 ? " and " + (branch.nodes.length - 4) + " others" : "";
      const text = element("span", "…" + branch.tip.hash.slice(-8) + " at height " + branch.tip.height);
      text.append(element("small", branch.nodes.length + ": " + names + more));
      return row(colour, text);
    });
    if (status.branches.length > 8) rows.push(row("", status.branches.length - 8 + " more"));
    if (status.behind.length > 0) rows.push(row("-", status.behind.length + " behind"));
    byId("branches").replaceChildren(...rows);
  }

  function drawCosts() {
    const rows = seen.faults.map((text, nth) => row(nth === 0 ? "Faults" : "", text));
    if (rows.length === 0) rows.push(row("Faults", "none in force"));
    rows.push(row("Traffic", seen.traffic), row("Host", seen.host));
    byId("costs").replaceChildren(...rows);
  }

  // Regions, connections and nodes, anew.
  function drawGraph() {
    const discs = [];
    for (const disc of graph.regions) {
      const [x, y] = disc.middle;
      discs.push(shape("circle", { class: "region", cx: x, cy: y, r: disc.radius + 14 }));
      const name = shape("text", { class: "region-name", x, y: y - disc.radius - 20, "text-anchor": "middle" });
      name.textContent = disc.name;
      discs.push(name);
    }
    byId("regions").replaceChildren(...discs);
    const placed = graph.links.filter(([from, to]) => graph.nodes[from] && graph.nodes[to]);
    lines = placed.map(([from, to]) => {
      const [[x1, y1], [x2, y2]] = [graph.nodes[from], graph.nodes[to]];
      return { from, to, shape: shape("line", { x1, y1, x2, y2 }) };
    });
    byId("links").replaceChildren(...lines.map((line) => line.shape));
    const radius = graph.nodes.length > 300 ? 3.5 : graph.nodes.length > 60 ? 5.5 : 8;
    circles = graph.nodes.map(([cx, cy], index) => {
      const circle = shape("circle", { cx, cy, r: radius });
      circle.append(shape("title", {}));
      circle.addEventListener("click", () => {
        chosen = index;
        if (seen && seen !== "over") drawFacts();
        colourGraph();
      });
      return circle;
    });
    byId("nodes").replaceChildren(...circles);
    colourGraph();
  }

  function colourGraph() {
    if (!seen || seen === "over" || circles.length === 0) return;
    const now = samples[samples.length - 1];
    const set = (shape, name, value) => {
      if (shape.getAttribute(name) !== value) shape.setAttribute(name, value);
    };
    circles.forEach((circle, index) => {
      const [mark, node] = [markOf(now, index), seen.nodes[index]];
      if (!node) return;
      set(circle, "class", classOf(mark) + (index === chosen ? " chosen" : ""));
      const at = node.tip ? ", height " + node.tip.height : "";
      const text = node.node + " (" + node.region + "): " + words(mark) + at;
      if (circle.firstChild.textContent !== text) circle.firstChild.textContent = text;
    });
    for (const line of lines) {
      const [a, b] = [markOf(now, line.from), markOf(now, line.to)];
      const between = a !== b && /[A-Z]/.test(a) && /[A-Z]/.test(b);
      const ofChosen = line.from === chosen || line.to === chosen;
      set(line.shape, "class", (between ? "between " : "") + (ofChosen ? "of-chosen" : ""));
    }
    drawLegend(new Set(now.marks));
  }

  function drawLegend(there) {
    const keys = [...there].sort().map((mark) => {
      const key = element("span");
      key.append(element("i", undefined, classOf(mark)), words(mark));
      return key;
    });
    byId("legend").replaceChildren(...keys);
  }

  // A row of each node, on the time that is known of it.
  function drawHistory() {
    const canvas = byId("history");
    const count = seen.nodes.length;
    const height = count <= 40 ? 14 : count <= 120 ? 6 : Math.max(1, Math.floor(720 / count));
    const ratio = window.devicePixelRatio || 1;
    const [width, bottom] = [canvas.clientWidth, count * height];
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round((bottom + 20) * ratio);
    canvas.style.height = bottom + 20 + "px";
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const ink = (name) => style.getPropertyValue("--" + name).trim();
    const inks = {};
    const inkOf = (mark) => {
      if (!(mark in inks)) {
        const name = { behind: "unknown", starting: "unknown", down: "", frozen: "", ended: "bad" }[classOf(mark)];
        inks[mark] = name === "" ? "" : ink(name === undefined ? classOf(mark) : name);
      }
      return inks[mark];
    };
    const named = height >= 12;
    const left = named ? 96 : 0;
    const end = samples[samples.length - 1].t;
    const begin = Math.min(samples[0].t, end - 10);
    const x = (t) => left + (Math.max(t, begin) - begin) / (end - begin) * (width - left);
    pen.fillStyle = ink("band");
    samples.forEach((sample, nth) => {
      const next = samples[nth + 1];
      if (sample.faulty && next) pen.fillRect(x(sample.t), 0, x(next.t) - x(sample.t), bottom);
    });
    pen.font = "12px system-ui, sans-serif";
    for (let node = 0; node < count; node++) {
      let from = 0;
      for (let nth = 1; nth <= samples.length; nth++) {
        const mark = markOf(samples[from], node);
        if (nth < samples.length && markOf(samples[nth], node) === mark) continue;
        const to = nth < samples.length ? samples[nth].t : end;
        const colour = inkOf(mark);
        if (colour !== "") {
          pen.fillStyle = colour;
          const gap = height > 3 ? 1.5 : 0;
          pen.fillRect(x(samples[from].t), node * height + gap, x(to) - x(samples[from].t) + 0.5, height - 2 * gap);
        }
        from = nth;
      }
      if (named) {
        pen.fillStyle = ink("dim");
        pen.textAlign = "right";
        pen.fillText(seen.nodes[node].node, left - 8, node * height + height / 2 + 4, left - 10);
      }
    }
    pen.fillStyle = ink("dim");
    pen.textAlign = "left";
    pen.fillText(Math.round(begin) + " s", left, bottom + 15);
    pen.textAlign = "right";
    pen.fillText(Math.round(end) + " s", width, bottom + 15);
  }

  // Has something done, and tells what came of it.
  async function order(what) {
    said("…");
    try {
      const answer = await fetch("do", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(what),
      });
      const came = await answer.json();
      said(came.said);
    } catch (error) {
      said("It was not done: the server gave no answer.");
    }
  }
  const ofChosen = (what) => () => {
    const node = seen && seen !== "over" && seen.nodes[chosen];
    if (node) order({ [what]: node.node });
  };

  byId("partition").addEventListener("click", () => order("partition"));
  byId("heal").addEventListener("click", () => order("heal"));
  for (const what of ["kill", "freeze", "start", "mine"]) {
    byId(what).addEventListener("click", ofChosen(what));
  }
  look();
  lookAtGraph();
})();
