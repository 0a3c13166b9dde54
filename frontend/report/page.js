"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = id => document.getElementById(id);
  const svgNS = "http://www.w3.org/2000/svg";

  // An element with attributes and children; text is never parsed as HTML.
  const el = (tag, attributes = {}, ...children) => {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    e.append(...children.filter(c => c !== null));
    return e;
  };
  const svg = (tag, attributes = {}, ...children) => {
    const e = document.createElementNS(svgNS, tag);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    e.append(...children);
    return e;
  };
  const bytes = n => n >= 1 << 20 ? (n / (1 << 20)).toFixed(2) + " MiB"
    : n >= 1024 ? (n / 1024).toFixed(1) + " KiB" : n + " B";
  const time = us => us >= 1000 ? (us / 1000).toFixed(2) + " ms" : us.toFixed(us < 10 ? 2 : 1) + " µs";
  const number = (x, digits = 1) => x === undefined || x === null ? "" : x.toFixed(digits);
  const percent = x => (100 * x).toFixed(1) + " %";
  // Kernels are told apart by hue, in the order of the step.
  const hue = k => (k * 137.508) % 360;
  const tinted = k => `--hue:${hue(k).toFixed(0)}`;

  // ---- tooltip
  const tip = $("tip");
  const showTip = (event, title, rows) => {
    tip.replaceChildren(el("b", {}, title), ...rows.filter(r => r).map(r => el("div", {}, r)));
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
    tip.style.top = Math.max(4, Math.min(event.clientY + 16, innerHeight - box.height - 8)) + "px";
  };
  const hideTip = () => { tip.hidden = true; };

  // ---- tabs
  const tabs = [...document.querySelectorAll("nav button")];
  const shown = {};
  const drawn = {};
  const show = name => {
    for (const b of tabs) b.setAttribute("aria-selected", b.dataset.tab === name);
    for (const s of document.querySelectorAll("section")) s.classList.toggle("shown", s.id === name);
    hideTip();
    if (!drawn[name]) {
      drawn[name] = true;
      (shown[name] || (() => {}))();
    }
  };
  const go = name => { if (location.hash !== "#" + name) history.replaceState(null, "", "#" + name); show(name); };
  for (const b of tabs) b.addEventListener("click", () => go(b.dataset.tab));

  // ---- overview
  const measured = data.steps.some(s => s.us !== undefined);
  const total = data.steps.reduce((sum, s) => sum + (s.us || 0), 0);
  const kernels = data.steps.filter(s => s.kind === "kernel");
  const last = data.graphs[data.graphs.length - 1];
  const table = (head, rows) => {
    const t = el("table");
    t.append(el("thead", {}, el("tr", {}, ...head.map(([text, n]) => el("th", n ? {class: "n"} : {}, text)))));
    const body = el("tbody");
    t.append(body);
    for (const r of rows) body.append(r);
    return t;
  };
  const cell = (text, attributes = {}) => el("td", attributes, text);
  const meter = share => el("td", {style: "width:34%"},
    el("i", {class: "meter", style: `width:${(100 * share).toFixed(2)}%`}));

  const overview = () => {
    const compile = data.passes.reduce((sum, p) => sum + p.ms, 0);
    const flops = data.steps.reduce((sum, s) => sum + s.flops, 0);
    const facts = [
      [measured ? time(total) : "—", measured ? "a call, in kernels" : "a call: not measured (profile = true)"],
      [kernels.length, "kernels"],
      [data.graphs[0].nodes.length + " → " + last.nodes.length, "nodes, as written → rewritten"],
      [data.rewrites.length, "rewrites"],
      [bytes(data.memory.arena), "of arena"],
      [(flops / 1e6).toFixed(flops < 1e7 ? 2 : 1), "MFLOP a call"],
      ...(measured ? [[(flops / total / 1e3).toFixed(1), "GFLOP/s"]] : []),
      [compile.toFixed(0) + " ms", "to compile"],
    ];
    $("facts").append(...facts.map(([value, label]) =>
      el("div", {class: "fact"}, el("b", {}, String(value)), el("span", {}, label))));
    const most = [...data.steps].sort((a, b) => (b.us || 0) - (a.us || 0) || b.flops - a.flops).slice(0, 12);
    const work = Math.max(1, ...data.steps.map(s => s.flops));
    const top = Math.max(1e-9, ...most.map(s => s.us || 0));
    $("slowest").append(table(
      measured ? [["kernel"], ["time", 1], ["share", 1], [""]] : [["kernel"], ["MFLOP", 1], [""]],
      most.map(s => {
        const row = el("tr", {class: "link"}, cell(`${s.number} ${s.name}`),
          ...(measured ? [cell(time(s.us || 0), {class: "n"}), cell(percent(s.share || 0), {class: "n"}), meter((s.us || 0) / top)]
            : [cell((s.flops / 1e6).toFixed(3), {class: "n"}), meter(s.flops / work)]));
        row.addEventListener("click", () => openKernel(s.number));
        return row;
      })));
    const longest = Math.max(1e-9, ...data.passes.map(p => p.ms));
    $("passes").append(table([["pass"], ["ms", 1], [""]], data.passes.map(p =>
      el("tr", {}, cell(p.name), cell(p.ms.toFixed(2), {class: "n"}), meter(p.ms / longest)))));
    const list = (label, items) => items.flatMap((item, i) => [el("dt", {}, i ? "" : label), el("dd", {}, item)]);
    $("signature").append(...list("arguments", data.arguments), ...list("results", data.results), ...list("updates", data.updates));
  };
  shown.overview = overview;

  // ---- graph: layers by longest path, order by barycentres, positions by averaging
  const layout = (nodes, visible) => {
    const n = nodes.length;
    const inputs = nodes.map((v, i) => visible[i] ? [...new Set(v.inputs)].filter(k => visible[k]) : []);
    const users = nodes.map(() => []);
    inputs.forEach((list, i) => list.forEach(k => users[k].push(i)));
    const layer = new Array(n).fill(0);
    for (let i = 0; i < n; ++i) for (const k of inputs[i]) layer[i] = Math.max(layer[i], layer[k] + 1);
    // Leaves, and whatever has no more operands than readers, stand just above the first reader:
    // edges are no longer for it, and the first rows are not crowded.
    for (let i = n - 1; i >= 0; --i)
      if (visible[i] && users[i].length && inputs[i].length <= users[i].length)
        layer[i] = Math.max(layer[i], users[i].reduce((m, u) => Math.min(m, layer[u]), Infinity) - 1);
    // Items are nodes, then the bends of edges that cross layers.
    const items = [];
    const item = new Array(n).fill(-1);
    const rows = [];
    const add = (node, row, width) => {
      (rows[row] = rows[row] || []).push(items.length);
      items.push({node, row, width, up: [], down: [], x: 0});
      return items.length - 1;
    };
    const width = v => 22 + 7.0 * Math.max(v.label.length, 0.86 * v.type.length, 5);
    for (let i = 0; i < n; ++i) if (visible[i]) item[i] = add(i, layer[i], Math.min(width(nodes[i]), 230));
    const edges = [];
    const bend = inputs.reduce((s, l, i) => s + l.reduce((t, k) => t + layer[i] - layer[k], 0), 0) < 20000;
    for (let i = 0; i < n; ++i) for (const k of inputs[i]) {
      const path = [item[k]];
      if (bend) for (let r = layer[k] + 1; r < layer[i]; ++r) path.push(add(-1, r, 10));
      path.push(item[i]);
      for (let p = 1; p < path.length; ++p) {
        items[path[p - 1]].down.push(path[p]);
        items[path[p]].up.push(path[p - 1]);
      }
      edges.push({from: k, to: i, path});
    }
    const place = row => row.forEach((m, p) => { items[m].order = p; });
    for (let r = 0; r < rows.length; ++r) { rows[r] = rows[r] || []; place(rows[r]); }
    const sweep = (row, side) => {
      const key = new Map(row.map(m => {
        const beside = items[m][side];
        return [m, beside.length ? beside.reduce((s, o) => s + items[o].order, 0) / beside.length : items[m].order];
      }));
      row.sort((a, b) => key.get(a) - key.get(b) || items[a].order - items[b].order);
      place(row);
    };
    for (let round = 0; round < 10; ++round) {
      for (let r = 1; r < rows.length; ++r) sweep(rows[r], "up");
      for (let r = rows.length - 2; r >= 0; --r) sweep(rows[r], "down");
    }
    const gap = 16;
    for (const row of rows) {
      let x = 0;
      for (const m of row) { items[m].x = x + items[m].width / 2; x += items[m].width + gap; }
      for (const m of row) items[m].x -= x / 2;
    }
    // Each row goes as near to its neighbours as their order and widths allow.
    const settle = (row, side) => {
      const want = row.map(m => {
        const beside = items[m][side].length ? items[m][side] : items[m][side === "up" ? "down" : "up"];
        return beside.length ? beside.reduce((s, o) => s + items[o].x, 0) / beside.length : items[m].x;
      });
      // Blocks of items that touch move as one: pool adjacent violators.
      const blocks = [];
      row.forEach((m, p) => {
        const before = p ? items[row[p - 1]].width / 2 + gap + items[m].width / 2 : 0;
        let b = {sum: want[p], count: 1, offsets: [0], members: [m], start: want[p], length: 0};
        b.lead = before;
        blocks.push(b);
        while (blocks.length > 1) {
          const c = blocks[blocks.length - 1], a = blocks[blocks.length - 2];
          const shift = a.length + c.lead;
          if (a.start + shift <= c.start) break;
          a.sum += c.sum - c.count * shift;
          a.count += c.count;
          for (const o of c.offsets) a.offsets.push(o + shift);
          a.members.push(...c.members);
          a.length = shift + c.length;
          a.start = a.sum / a.count;
          blocks.pop();
        }
      });
      for (const b of blocks) b.members.forEach((m, p) => { items[m].x = b.start + b.offsets[p]; });
    };
    for (let round = 0; round < 6; ++round) {
      for (let r = 1; r < rows.length; ++r) settle(rows[r], "up");
      for (let r = rows.length - 2; r >= 0; --r) settle(rows[r], "down");
    }
    const high = 76;
    for (const m of items) m.y = m.row * high;
    return {items, item, edges};
  };

  const canvas = $("canvas");
  let view = {x: 0, y: 0, k: 1}, scene = null, picked = -1;
  const world = svg("g");
  const apply = () => world.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
  const zoom = (factor, cx, cy) => {
    const k = Math.min(4, Math.max(0.03, view.k * factor));
    view.x = cx - (cx - view.x) * k / view.k;
    view.y = cy - (cy - view.y) * k / view.k;
    view.k = k;
    apply();
  };
  const fit = () => {
    if (!scene || !scene.bounds) return;
    const box = canvas.getBoundingClientRect(), [x0, y0, x1, y1] = scene.bounds;
    view.k = Math.min((box.width - 40) / (x1 - x0), (box.height - 40) / (y1 - y0), 1.2);
    view.x = box.width / 2 - view.k * (x0 + x1) / 2;
    view.y = box.height / 2 - view.k * (y0 + y1) / 2;
    apply();
  };
  // What does not fit starts at its top, in the middle of what is there, at a size that can be read.
  const begin = () => {
    fit();
    const readable = 0.6;
    if (!scene.bounds || view.k >= readable) return;
    const box = canvas.getBoundingClientRect(), [, y0] = scene.bounds;
    const near = scene.items.filter(m => m.node >= 0 && m.y < y0 + box.height / readable).map(m => m.x).sort((a, b) => a - b);
    view.k = readable;
    view.x = box.width / 2 - readable * near[near.length >> 1];
    view.y = 20 - readable * y0;
    apply();
  };
  const center = i => {
    const box = canvas.getBoundingClientRect(), m = scene.items[scene.item[i]];
    if (!m) return;
    view.k = Math.max(view.k, 0.8);
    view.x = box.width / 2 - view.k * m.x;
    view.y = box.height / 2 - view.k * m.y;
    apply();
  };
  const label = v => v.kind === "constant" ? v.value : v.name ? v.name : v.op;
  const graph = () => data.graphs[$("stage").value];
  const tipOf = (event, v) => showTip(event, v.name ? `${v.name} (${v.op})` : v.op, [
    v.type, v.attrs, v.value && v.kind === "constant" ? v.value : "", v.line,
    v.steps ? "in " + v.steps.map(k => `kernel ${k} ${data.steps[k].name}`).join(", ") : ""]);

  const pick = i => {
    picked = i;
    for (const g of world.querySelectorAll(".n")) g.classList.remove("chosen", "beside");
    for (const p of world.querySelectorAll("path.lit")) p.classList.remove("lit");
    const g = graph(), side = $("node");
    side.replaceChildren();
    if (i < 0) {
      side.append(el("p", {class: "muted"}, "Drag to move, scroll to zoom, hover for the type and the line, click for more."),
        el("p", {class: "muted"}, "Values flow downwards. Green: arguments; yellow: shared variables; blue: results. The stripe of a node is its kernel's colour."));
      return;
    }
    const v = g.nodes[i];
    for (const e of scene.edges) {
      if (e.from !== i && e.to !== i) continue;
      e.element.classList.add("lit");
      const other = scene.elements[e.from === i ? e.to : e.from];
      if (other) other.classList.add("beside");
    }
    if (scene.elements[i]) scene.elements[i].classList.add("chosen");
    side.append(el("h3", {}, label(v)));
    const facts = [["op", v.op], ["type", v.type], ["parameters", v.attrs], ["value", v.kind === "constant" ? v.value : ""], ["line", v.line]];
    side.append(el("dl", {class: "mono"}, ...facts.filter(f => f[1]).flatMap(([k, t]) => [el("dt", {}, k), el("dd", {}, t)])));
    const links = (title, list) => {
      if (!list.length) return;
      side.append(el("h4", {}, title));
      for (const k of list) {
        const a = el("a", {tabindex: 0}, `${label(g.nodes[k])} : ${g.nodes[k].type}`);
        a.addEventListener("click", () => { pick(k); center(k); });
        side.append(el("div", {}, a));
      }
    };
    links("Operands", v.inputs);
    links("Read by", [...new Set(g.nodes.flatMap((u, k) => u.inputs.includes(i) ? [k] : []))]);
    if (v.steps) {
      side.append(el("h4", {}, v.steps.length > 1 ? "Kernels" : "Kernel"));
      for (const k of v.steps) {
        const a = el("a", {tabindex: 0}, `${k} ${data.steps[k].name}`);
        a.addEventListener("click", () => openKernel(k));
        side.append(el("div", {}, a));
      }
    }
  };

  const search = jump => {
    const g = graph(), words = $("search").value.trim().toLowerCase().split(/\s+/).filter(w => w);
    const hits = [];
    g.nodes.forEach((v, i) => {
      const text = [v.op, v.name, v.type, v.attrs, v.line, v.value].join(" ").toLowerCase();
      const hit = words.length > 0 && words.every(w => text.includes(w));
      if (scene.elements[i]) scene.elements[i].classList.toggle("hit", hit);
      if (hit && scene.elements[i]) hits.push(i);
    });
    $("found").textContent = words.length ? `${hits.length} found` : "";
    if (jump && hits.length) {
      const next = hits.find(i => i > picked);
      const to = next === undefined ? hits[0] : next;
      pick(to);
      center(to);
    }
  };

  const draw = () => {
    const g = graph(), nodes = g.nodes;
    for (const v of nodes) v.label = label(v);
    const roots = new Map();
    for (const r of g.roots) roots.set(r.id, [...(roots.get(r.id) || []), r.label]);
    const visible = nodes.map((v, i) => $("constants").checked || v.kind !== "constant" || roots.has(i));
    scene = layout(nodes, visible);
    scene.elements = [];
    world.replaceChildren();
    const lines = svg("g"), boxes = svg("g");
    world.append(lines, boxes);
    const half = 18;
    for (const e of scene.edges) {
      const points = e.path.map(m => scene.items[m]);
      let d = "";
      points.forEach((p, k) => {
        if (!k) { d = `M${p.x.toFixed(1)} ${p.y + half}`; return; }
        const q = points[k - 1];
        const y0 = q.y + (k > 1 ? 0 : half), y1 = p.y - (k + 1 < points.length ? 0 : half);
        d += `C${q.x.toFixed(1)} ${(y0 + y1) / 2} ${p.x.toFixed(1)} ${(y0 + y1) / 2} ${p.x.toFixed(1)} ${y1}`;
      });
      e.element = svg("path", {d});
      lines.append(e.element);
    }
    let x0 = 1e9, y0 = 1e9, x1 = -1e9, y1 = -1e9;
    nodes.forEach((v, i) => {
      if (!visible[i]) return;
      const m = scene.items[scene.item[i]], w = m.width;
      x0 = Math.min(x0, m.x - w / 2); x1 = Math.max(x1, m.x + w / 2);
      y0 = Math.min(y0, m.y - half); y1 = Math.max(y1, m.y + half);
      const cut = (s, size) => s.length * size > w - 14 ? s.slice(0, Math.floor((w - 20) / size)) + "…" : s;
      const group = svg("g", {class: `n ${v.kind}${roots.has(i) ? " root" : ""}`, "data-node": i,
        transform: `translate(${(m.x - w / 2).toFixed(1)} ${m.y - half})`},
        svg("rect", {width: w.toFixed(1), height: 2 * half, rx: 6}));
      if (v.steps) group.append(svg("rect", {class: "k", x: 0, y: 6, width: 4, height: 2 * half - 12, rx: 2, style: tinted(v.steps[0])}));
      const t = svg("text", {x: 11, y: 15}, cut(v.label, 7)), ty = svg("text", {class: "t", x: 11, y: 29}, cut(v.type, 6));
      group.append(t, ty);
      if (roots.has(i)) group.append(svg("text", {class: "t", x: 4, y: 2 * half + 13}, roots.get(i).join(", ")));
      group.addEventListener("pointermove", event => { if (!dragging) tipOf(event, v); });
      group.addEventListener("pointerleave", hideTip);
      group.addEventListener("click", () => { if (!dragged) pick(i); });
      boxes.append(group);
      scene.elements[i] = group;
    });
    scene.bounds = x1 < x0 ? null : [x0, y0, x1, y1 + 14];
    begin();
    pick(-1);
    search(false);
  };

  let dragging = null, dragged = false;
  shown.graph = () => {
    canvas.append(world);
    data.graphs.forEach((g, i) => $("stage").append(el("option", {value: i},
      `${g.title}: ${g.nodes.length} nodes${i + 1 === data.graphs.length ? ", in kernels" : ""}`)));
    $("stage").value = data.graphs.length - 1;
    $("stage").addEventListener("change", draw);
    $("constants").addEventListener("change", draw);
    $("search").addEventListener("input", () => search(false));
    $("search").addEventListener("keydown", event => { if (event.key === "Enter") search(true); });
    $("zoom-fit").addEventListener("click", fit);
    const middle = f => { const b = canvas.getBoundingClientRect(); zoom(f, b.width / 2, b.height / 2); };
    $("zoom-in").addEventListener("click", () => middle(1.3));
    $("zoom-out").addEventListener("click", () => middle(1 / 1.3));
    canvas.addEventListener("wheel", event => {
      event.preventDefault();
      const b = canvas.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - b.left, event.clientY - b.top);
    }, {passive: false});
    canvas.addEventListener("pointerdown", event => { dragging = [event.clientX, event.clientY]; dragged = false; });
    addEventListener("pointermove", event => {
      if (!dragging) return;
      const dx = event.clientX - dragging[0], dy = event.clientY - dragging[1];
      if (!dragged && Math.abs(dx) + Math.abs(dy) < 4) return;
      dragged = true;
      canvas.classList.add("moving");
      hideTip();
      view.x += dx; view.y += dy;
      dragging = [event.clientX, event.clientY];
      apply();
    });
    addEventListener("pointerup", () => { dragging = null; canvas.classList.remove("moving"); });
    draw();
  };

  // ---- kernels
  let chosenKernel = -1, chosenView = "schedule";
  const kernelRows = [];
  const views = [["nodes", "Nodes"], ["nest", "Loop IR"], ["schedule", "Scheduled loops"],
    ...data.languages.map(l => [l.key, l.title])];
  const nodesView = s => table([["node"], ["type"], ["line"]], s.nodes.map(i => {
    const v = last.nodes[i];
    const row = el("tr", {class: "link"}, cell(label(v)), cell(v.type, {class: "mono"}), cell(v.line, {class: "mono wrap"}));
    row.addEventListener("click", () => { go("graph"); $("stage").value = data.graphs.length - 1; draw(); pick(i); center(i); });
    return row;
  }));
  const openKernel = k => {
    go("kernels");
    chosenKernel = k;
    kernelRows.forEach((r, i) => r.classList.toggle("chosen", i === k));
    const s = data.steps[k], side = $("kernel");
    side.replaceChildren(el("h3", {}, `${k} ${s.name}`));
    if (s.computes.length) side.append(el("pre", {class: "flow"}, s.computes.map(c => `${c.text} : ${c.type}${c.in_place ? "   (in place)" : ""}`).join("\n")));
    const facts = [["lines", s.lines],
      ["operands", s.operands.map(o => `${o.name} ${o.type} (${o.place})`).join(", ")],
      ["work", `${(s.flops / 1e6).toFixed(4)} MFLOP, ${bytes(s.bytes)} of operands`],
      ["time", s.us === undefined ? "not measured" : `${time(s.us)} a call over ${s.calls} calls, ${percent(s.share)} of the step`],
      ["rate", s.us === undefined ? "" : `${number(s.gflops)} GFLOP/s, ${number(s.gbytes)} GB/s`]];
    const list = el("dl", {style: "margin-top:10px"});
    for (const [name, text] of facts) if (text) list.append(el("dt", {}, name), el("dd", {}, text));
    side.append(list);
    if (s.kind !== "kernel") return;
    const buttons = el("div", {class: "views", role: "tablist"}), body = el("div", {id: "kernel-view"});
    const showView = name => {
      chosenView = name;
      for (const b of buttons.children) b.setAttribute("aria-selected", b.dataset.view === name);
      body.replaceChildren(name === "nodes" ? nodesView(s) : el("pre", {}, s[name] || "There is none: the function is interpreted."));
    };
    for (const [name, title] of views) {
      const b = el("button", {role: "tab", "data-view": name}, title);
      b.addEventListener("click", () => showView(name));
      buttons.append(b);
    }
    side.append(buttons, body);
    showView(chosenView);
  };
  shown.kernels = () => {
    const top = Math.max(1e-9, ...data.steps.map(s => measured ? s.us || 0 : s.flops));
    data.steps.forEach((s, k) => {
      const right = s.us !== undefined ? `${time(s.us)} · ${percent(s.share)}` : s.kind === "kernel" ? `${(s.flops / 1e6).toFixed(3)} MFLOP` : "";
      const rates = s.us !== undefined && s.kind === "kernel" ? `${number(s.gflops)} GFLOP/s · ${number(s.gbytes)} GB/s` : "";
      const row = el("div", {class: "item", "data-kernel": k, tabindex: 0},
        el("div", {class: "row"}, el("span", {class: "muted", style: "min-width:1.6em"}, String(k)), el("span", {class: "name"}, s.name),
          el("span", {class: "grow"}), el("span", {class: "small", style: "flex:none"}, right)),
        ...(s.computes.length ? [el("div", {class: "small mono"}, s.computes.map(c => c.text).join(", "))] : []),
        el("div", {class: "row"}, el("span", {class: "small"}, s.lines || "—"), el("span", {class: "grow"}), el("span", {class: "small", style: "flex:none"}, rates)),
        el("div", {class: "track"}, el("i", {style: `width:${(100 * (measured ? s.us || 0 : s.flops) / top).toFixed(2)}%;${tinted(k)}`})));
      row.addEventListener("click", () => openKernel(k));
      row.addEventListener("keydown", event => {
        const to = event.key === "Enter" ? k : event.key === "ArrowDown" ? k + 1 : event.key === "ArrowUp" ? k - 1 : -1;
        if (to < 0 || to >= data.steps.length) return;
        event.preventDefault();
        kernelRows[to].focus();
        openKernel(to);
      });
      kernelRows.push(row);
      $("kernel-list").append(row);
    });
    if (chosenKernel < 0 && data.steps.length) {
      const slow = data.steps.reduce((a, b) => ((b.us || 0) - (a.us || 0) || b.flops - a.flops) > 0 ? b : a);
      openKernel(slow.number);
    }
  };

  // ---- memory: time to the right, addresses upwards
  shown.memory = () => {
    const m = data.memory, steps = data.steps.length;
    const waste = m.live ? m.arena / m.live : 1;
    $("memory-facts").textContent = m.buffers.length
      ? `${bytes(m.arena)} of arena hold ${m.buffers.length} intermediate values, of which at most ${bytes(m.live)} are alive at once (${waste.toFixed(2)} times). ` +
        (m.copied ? `Each call copies ${bytes(m.copied)} of shared variables.` : "No shared variable is copied.")
      : "Every value goes straight into a result or a shared variable: there is no arena.";
    if (!m.buffers.length) return;
    const W = 1120, H = 460, left = 74, bottom = 34, top = 12, right = 12;
    const x = t => left + (W - left - right) * t / steps;
    const y = b => H - bottom - (H - bottom - top) * b / Math.max(1, m.arena);
    const picture = svg("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Memory plan"});
    for (let k = 0; k <= 4; ++k) {
      const b = m.arena * k / 4;
      picture.append(svg("line", {class: "grid", x1: left, x2: W - right, y1: y(b), y2: y(b)}),
        svg("text", {x: left - 8, y: y(b) + 4, "text-anchor": "end"}, bytes(Math.round(b))));
    }
    const every = Math.max(1, Math.ceil(steps / 24));
    for (let t = 0; t < steps; t += every)
      picture.append(svg("text", {x: (x(t) + x(t + 1)) / 2, y: H - 14, "text-anchor": "middle"}, String(t)));
    picture.append(svg("text", {x: left - 8, y: H - 14, "text-anchor": "end"}, "step"));
    m.buffers.forEach((b, i) => {
      const px = x(b.first), width = x(b.last + 1) - px, py = y(b.offset + b.bytes), height = Math.max(0.75, y(b.offset) - py);
      const rect = svg("rect", {class: "slot", x: px + 0.5, y: py, width: Math.max(1, width - 1), height, rx: 1.5, style: tinted(b.first), "data-buffer": i});
      const mark = on => { rect.classList.toggle("lit", on); rowOf[i].style.background = on ? "var(--soft)" : ""; };
      rect.addEventListener("pointermove", event => { mark(true); showTip(event, `${b.name} ${b.type}`, [
        `${bytes(b.bytes)} at offset ${b.offset}`, `from step ${b.first} ${data.steps[b.first].name} to step ${b.last} ${data.steps[b.last].name}`]); });
      rect.addEventListener("pointerleave", () => { mark(false); hideTip(); });
      picture.append(rect);
      if (height > 13 && width > 8 * b.name.length) picture.append(svg("text", {class: "b", x: px + 6, y: py + Math.min(height / 2 + 4, 15)}, b.name));
    });
    const rowOf = m.buffers.map(b => el("tr", {}, cell(b.name), cell(b.type, {class: "mono"}), cell(bytes(b.bytes), {class: "n"}), cell(String(b.offset), {class: "n"}),
      cell(String(b.first), {class: "n"}), cell(String(b.last), {class: "n"})));
    $("memory-picture").append(picture);
    $("memory-table").append(table([["value"], ["type"], ["size", 1], ["offset", 1], ["from step", 1], ["to step", 1]], rowOf));
  };

  // ---- rewrites
  let chosenRewrite = 0;
  const rewriteRows = [];
  const openRewrite = i => {
    if (i < 0 || i >= data.rewrites.length) return;
    chosenRewrite = i;
    rewriteRows.forEach((r, k) => r.classList.toggle("chosen", k === i));
    rewriteRows[i].scrollIntoView({block: "nearest"});
    const r = data.rewrites[i];
    $("rewrite").replaceChildren(el("h3", {}, r.rule), el("p", {class: "mono"}, r.algebra),
      el("h4", {class: "minus"}, "before"), el("pre", {class: "flow"}, r.before),
      el("h4", {class: "plus"}, "after"), el("pre", {class: "flow"}, r.after),
      ...(r.where ? [el("h4", {}, "where"), el("pre", {class: "flow"}, r.where)] : []),
      el("dl", {style: "margin-top:16px"}, el("dt", {}, "type"), el("dd", {class: "mono"}, r.type), el("dt", {}, "pass"), el("dd", {}, r.pass), el("dt", {}, "line"), el("dd", {class: "mono"}, r.line || "—"),
        el("dt", {}, "step"), el("dd", {}, `${i + 1} of ${data.rewrites.length}`)));
  };
  shown.rewrites = () => {
    data.rewrites.forEach((r, i) => {
      const row = el("li", {class: "item", "data-rewrite": i, tabindex: 0},
        el("div", {class: "row"}, el("span", {class: "muted", style: "min-width:2em"}, String(i + 1)), el("span", {class: "name"}, r.rule), el("span", {class: "grow"}), el("span", {class: "small", style: "flex:none"}, r.pass)),
        el("div", {class: "small mono"}, `${r.before} → ${r.after}`));
      row.addEventListener("click", () => openRewrite(i));
      row.addEventListener("keydown", event => { if (event.key === "Enter") openRewrite(i); });
      rewriteRows.push(row);
      $("rewrite-list").append(row);
    });
    const visible = i => !rewriteRows[i].hidden;
    const filter = () => {
      const words = $("rewrite-search").value.toLowerCase().split(/\s+/).filter(w => w);
      let count = 0;
      data.rewrites.forEach((r, i) => {
        const text = [r.rule, r.algebra, r.pass, r.before, r.after, r.type, r.line].join(" ").toLowerCase();
        rewriteRows[i].hidden = !words.every(w => text.includes(w));
        count += !rewriteRows[i].hidden;
      });
      $("rewrite-found").textContent = `${count} of ${data.rewrites.length}`;
    };
    $("rewrite-search").addEventListener("input", filter);
    const step = by => { for (let i = chosenRewrite + by; i >= 0 && i < data.rewrites.length; i += by) if (visible(i)) { openRewrite(i); return; } };
    $("rewrite-back").addEventListener("click", () => step(-1));
    $("rewrite-next").addEventListener("click", () => step(1));
    filter();
    if (data.rewrites.length) openRewrite(0);
    else $("rewrite").append(el("p", {class: "muted"}, "No rule applied."));
  };

  // ---- start
  $("title").textContent = data.function;
  $("subtitle").textContent = [data.line, data.machine].filter(x => x).join(" · ");
  document.title = `${data.function} — Arete`;
  const start = location.hash.slice(1);
  show(tabs.some(b => b.dataset.tab === start) ? start : "overview");
})();
