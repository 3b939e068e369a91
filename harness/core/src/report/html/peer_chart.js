// Colours the peer graph as it was at the instant that the slider says.
"use strict";
(() => {
  const slider = document.getElementById("peer-time");
  const shown = document.getElementById("peer-time-shown");
  // Triples of beginning, end and what was then; of stretches without a name pairs.
  const stretches = (text, size) => {
    const words = text === "" ? [] : text.split(" ");
    const found = [];
    for (let at = 0; at < words.length; at += size) {
      found.push({ from: Number(words[at]), to: Number(words[at + 1]), what: words[at + 2] });
    }
    return found;
  };
  const end = Number(slider.max);
  const at = (all, t) => all.find((it) => it.from <= t && (t < it.to || (t === end && it.to >= end)));
  const nodes = [...document.querySelectorAll("#peers .node")].map((shape) => ({
    shape,
    spans: stretches(shape.dataset.spans, 3),
  }));
  const links = [...document.querySelectorAll("#peers .peer")].map((shape) => ({
    shape,
    ends: shape.dataset.ends.split(" ").map(Number),
  }));
  const partitions = stretches(slider.dataset.partitions, 2);
  const isBranch = (name) => name !== "down" && name !== "unknown";
  function show() {
    const t = Number(slider.value);
    const now = nodes.map((node) => {
      const span = at(node.spans, t);
      return span ? span.what : "down";
    });
    nodes.forEach((node, index) => node.shape.setAttribute("class", "node " + now[index]));
    for (const link of links) {
      const [a, b] = link.ends.map((end) => now[end]);
      const between = a !== b && isBranch(a) && isBranch(b);
      link.shape.setAttribute("class", between ? "peer between" : "peer");
    }
    const partition = at(partitions, t) ? ", partition in force" : "";
    shown.textContent = (t / 1000).toFixed(1) + " s" + partition;
  }
  slider.addEventListener("input", show);
  show();
})();
