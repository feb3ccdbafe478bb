// Shows one case after the other, takes two calls of each, keeps them over a reload and saves them as a file.
(() => {
  "use strict";
  const { study, classes, cases } = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const PLACE = `medsyn-reader-study-${study}`;
  const screens = ["welcome", "reading", "end"];
  const blank = () => ({ call: null, call_ms: 0, label_ms: 0, undone: 0 });

  // ---- what is kept

  let state = null;
  let keeps = true;
  const keep = () => {
    try { localStorage.setItem(PLACE, JSON.stringify(state)); } catch { keeps = false; }
    $("forgetful").hidden = keeps;
  };
  const recall = () => {
    try {
      const found = JSON.parse(localStorage.getItem(PLACE));
      const whole = found && found.answers.every((a, i) => i < cases.length && a.case === cases[i].case);
      return whole && found.now && found.reader ? found : null;
    } catch { return null; }
  };
  const random = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

  // ---- the clock runs while a case is in view

  let since = null;
  const run = () => { since = document.hidden || !reading() ? null : performance.now(); };
  const stop = () => {
    if (since !== null) state.now[state.now.call ? "label_ms" : "call_ms"] += Math.round(performance.now() - since);
    since = null;
  };
  const reading = () => state && state.answers.length < cases.length;
  document.addEventListener("visibilitychange", () => {
    if (!reading()) return;
    if (document.hidden) { stop(); keep(); } else { run(); }
  });
  addEventListener("pagehide", () => { if (reading()) { stop(); keep(); } });

  // ---- what is shown

  const show = (id) => screens.forEach((name) => { $(name).hidden = name !== id; });
  const view = { zoom: 1, brightness: 100, contrast: 100 };
  const look = () => {
    const image = $("image");
    image.style.filter = `brightness(${view.brightness / 100}) contrast(${view.contrast / 100})`;
    image.style.width = image.style.height = `${100 * view.zoom}%`;
    image.classList.toggle("squares", $("squares").checked);
    $("zoom").value = view.zoom === 1 ? "fit" : `${view.zoom}×`;
    $("brightness").value = view.brightness;
    $("contrast").value = view.contrast;
  };
  const afresh = () => { Object.assign(view, { zoom: 1, brightness: 100, contrast: 100 }); look(); };
  const within = (value, low, high) => Math.min(high, Math.max(low, value));
  const change = (what, by, low, high) => { view[what] = within(view[what] + by, low, high); look(); };

  const steps = () => {
    const labelling = state.now.call !== null;
    const inside = document.activeElement.closest(".step");
    $("step-call").classList.toggle("active", !labelling);
    $("step-label").classList.toggle("active", labelling);
    document.querySelectorAll("[data-call]").forEach((b) => {
      b.disabled = labelling;
      b.setAttribute("aria-pressed", String(state.now.call === b.dataset.call));
    });
    document.querySelectorAll("[data-label]").forEach((b) => { b.disabled = !labelling; });
    $("partial").disabled = state.answers.length === 0;
    $("undo").disabled = !labelling && state.answers.length === 0;
    // A button that is pressed is switched off: whoever goes by Tab is taken on to the next question.
    if (inside) document.querySelector(".step.active button").focus();
    $("told").textContent = `${$("place").textContent}. ${labelling ? "What does it show?" : "Real or synthetic?"}`;
  };

  const next = async () => {
    const at = state.answers.length;
    $("done").value = at;
    if (at === cases.length) { finish(); return; }
    $("place").textContent = `Case ${at + 1} of ${cases.length}`;
    show("reading");
    afresh();
    $("image").src = cases[at].image;
    $("image").alt = `Case ${at + 1}`;
    steps();
    try { await $("image").decode(); } catch { /* a next case took its place */ }
    if (reading() && state.answers.length === at && since === null) run();
  };

  // ---- answers

  const call = (value) => {
    if (!reading() || state.now.call !== null) return;
    stop();
    state.now.call = value;
    keep();
    steps();
    run();
  };
  const label = (place) => {
    if (!reading() || state.now.call === null || place >= classes.length) return;
    stop();
    const { call, call_ms, label_ms, undone } = state.now;
    const at = state.answers.length;
    state.answers.push({ case: cases[at].case, call, label: classes[place].name, call_ms, label_ms, undone });
    state.now = blank();
    keep();
    next();
  };
  const undo = () => {
    if (!state) return;
    stop();
    if (state.now.call !== null) {
      state.now.call = null;
      state.now.undone += 1;
      keep();
      steps();
      run();
    } else if (state.answers.length) {
      const { call, call_ms, label_ms, undone } = state.answers.pop();
      state.now = { call, call_ms, label_ms, undone: undone + 1 };
      keep();
      next();
    }
  };

  // ---- the file

  const CRC = Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k += 1) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n >>> 0;
  });
  const crc = (text) => {
    let sum = 0xffffffff;
    for (const byte of new TextEncoder().encode(text)) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
    return ((sum ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
  };
  const ORDER = ["case", "call", "label", "call_ms", "label_ms", "undone"];
  const file = () => {
    const { reader, session, started, answers } = state;
    const head = [study, reader, session, started];
    const rows = answers.map((a) => ORDER.map((key) => a[key]).join("\t"));
    const written = { kind: "medsyn reader-study answers", schema_version: 1, study, reader, session, started, answers };
    return JSON.stringify({ ...written, checksum: crc([...head, ...rows].join("\n")) }, null, 1);
  };
  const name = () => `answers-${study.slice(0, 6)}-${state.reader.replace(/[^A-Za-z0-9_-]+/g, "_")}.json`;
  const save = () => {
    const link = document.createElement("a");
    const address = URL.createObjectURL(new Blob([file()], { type: "application/json" }));
    link.href = address;
    link.download = name();
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    $("saved").textContent = $("told").textContent = `Saved as ${name()}, where this browser puts downloads.`;
  };

  const finish = () => {
    show("end");
    const times = state.answers.map((a) => a.call_ms + a.label_ms).sort((a, b) => a - b);
    const middle = times[Math.floor(times.length / 2)] / 1000;
    $("summary").textContent = `Reader ${state.reader}: half of the cases took less than ${middle.toFixed(1)} s.`;
    $("file").textContent = name();
    $("saved").textContent = "";
    $("end-title").focus();
  };

  // ---- what is pressed

  classes.forEach(({ name: text, key }, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.label = place;
    const cap = document.createElement("kbd");
    cap.textContent = key.toUpperCase();
    button.append(cap, ` ${text}`);
    button.addEventListener("click", () => label(place));
    $("labels").append(button);
    const row = document.createElement("div");
    const term = document.createElement("dt");
    const meaning = document.createElement("dd");
    term.append(cap.cloneNode(true));
    meaning.textContent = text;
    row.append(term, meaning);
    $("keys").insertBefore(row, $("keys").children[2 + place]);
  });
  document.querySelectorAll("[data-call]").forEach((b) => b.addEventListener("click", () => call(b.dataset.call)));
  $("undo").addEventListener("click", undo);
  $("back").addEventListener("click", undo);
  ["save", "partial"].forEach((id) => $(id).addEventListener("click", save));
  $("reset").addEventListener("click", afresh);
  $("in").addEventListener("click", () => change("zoom", 0.5, 1, 6));
  $("out").addEventListener("click", () => change("zoom", -0.5, 1, 6));
  ["brightness", "contrast"].forEach((what) => $(what).addEventListener("input", () => {
    view[what] = Number($(what).value);
    look();
  }));
  $("squares").addEventListener("change", look);
  $("next").addEventListener("click", () => {
    if (!confirm("Have the answers been saved? They will be forgotten.")) return;
    try { localStorage.removeItem(PLACE); } catch { /* nothing was kept */ }
    state = null;
    $("reader").value = "";
    show("welcome");
    $("reader").focus();
  });
  $("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    const reader = $("reader").value.replace(/\s+/g, " ").trim();
    if (!reader) return;
    state = { reader, session: random(), started: new Date().toISOString(), answers: [], now: blank() };
    keep();
    next();
    $("reading-title").focus();
  });

  const VIEW = {
    "+": () => change("zoom", 0.5, 1, 6), "=": () => change("zoom", 0.5, 1, 6), "-": () => change("zoom", -0.5, 1, 6),
    arrowup: () => change("brightness", 10, 20, 300), arrowdown: () => change("brightness", -10, 20, 300),
    arrowright: () => change("contrast", 10, 20, 400), arrowleft: () => change("contrast", -10, 20, 400), 0: afresh,
  };
  const CALLS = { r: () => call("real"), s: () => call("synthetic"), u: undo, backspace: undo };
  document.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (!state || $("reading").hidden || !$("shortcuts").checked || event.ctrlKey || event.altKey || event.metaKey) return;
    const target = document.activeElement;
    const arrow = key.startsWith("arrow");
    if (arrow && (target.type === "range" || (target === $("viewer") && view.zoom > 1))) return;
    const place = classes.findIndex((c) => c.key === key);
    const act = VIEW[key] || (event.repeat ? null : CALLS[key] || (place >= 0 ? () => label(place) : null));
    if (!act) return;
    event.preventDefault();
    act();
  });

  // ---- begin, or go on

  state = recall();
  keep();
  $("start").disabled = false;
  if (state) next(); else { show("welcome"); $("reader").focus(); }
})();
