// One run: drawn once, then again, part by part, whenever a part has changed.
import { bytes, get, h, need, none, number, outside, percent, saving, say, table, verdict } from "./page.js";

const address = new URLSearchParams(location.search);
const [dag, run] = [address.get("dag_id") ?? "", address.get("run_id") ?? ""];
const api = `api/runs/${encodeURIComponent(dag)}/${encodeURIComponent(run)}`;

// While instances answer, and while the run only waits for people.
const [LIVELY, CALM] = [2_000, 30_000];

const drawn = new Map();

/** Fill a section if what it shows has changed; focus, scrolling and open folds elsewhere stay as they are. */
function fill(id, shown, draw) {
  const key = JSON.stringify(shown);
  if (drawn.get(id) === key) return;
  drawn.set(id, key);
  document.querySelector(`#${id}`).replaceChildren(...draw());
}

const artifact = (name) => `${api}/artifacts/${encodeURIComponent(name)}`;

/** A figure; a URL behind it is where it leads. */
function figure(value) {
  const [, text, url] = value.match(/^(.*) ([a-z]+:\/\/\S+)$/) ?? [null, value];
  return url ? outside(url, text) : text;
}

function stages({ stages: all }) {
  const list = (figures) => h("dl", {}, Object.entries(figures).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, figure(value)))));
  return [h("h2", {}, "Stages"), h("ol", { class: "stages" }, all.map((stage) => h("li", { class: stage.state }, h("h3", {}, stage.name, " ", h("span", { class: "state" }, stage.state)), list(stage.figures))))];
}

function measurement(found) {
  const { estimate } = found;
  const parts = [h("h3", {}, `Over the ${found.period}: `, verdict(found.call))];
  if (found.attribution === "release") parts.push(h("p", { class: "warning" }, "Release and PGO together, so the figure is not PGO's alone: another revision of the source went out with the profile."));
  if (estimate && found.call !== "invalid") {
    parts.push(h("p", {}, "Saving ", saving(estimate), ` of the CPU (95 % interval), ${number(estimate.cores, 2)} cores, ${found.method}.`));
  }
  if (found.reasons.length) parts.push(h("p", {}, `${found.reasons.join("; ")}.`));
  if (found.picture) parts.push(h("img", { src: artifact(found.picture), alt: `CPU before and after the rollout, over the ${found.period}: ${found.call}` }));
  return h("article", {}, parts);
}

function sufficiency({ sufficiency: found, warnings }) {
  const rows = [
    ["instances", number(found.instances)],
    ["overlap of two halves of the instances", number(found.split_half_overlap, 2)],
    ["held-out weight that the hot edges cover", number(found.held_out_coverage, 2)],
    ["instances unlike the others", found.outliers.join(", ") || "none"],
  ];
  const figures = h("dl", { class: "figures" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  return [h("h2", {}, "Is it enough?"), figures, ...(warnings.length ? [h("ul", { class: "warning" }, warnings.map((warning) => h("li", {}, warning)))] : [])];
}

function flame(hasDifference) {
  const views = { "This profile": artifact("merged.pb.gz") };
  if (hasDifference) {
    views["What grew"] = `${api}/difference/grown.pb.gz`;
    views["What shrank"] = `${api}/difference/shrunk.pb.gz`;
  }
  const place = h("div");
  const buttons = Object.entries(views).map(([name, profile]) => h("button", { type: "button", "aria-pressed": "false", onclick: () => show(name, profile) }, name));
  let shown = Object.entries(views)[0];
  const viewer = "static/speedscope/index.html";
  async function show(name, profile) {
    shown = [name, profile];
    const fragment = new URLSearchParams({ profileURL: new URL(profile, document.baseURI).href, title: `${dag}: ${name}`, view: "left-heavy" });
    // The viewer decodes %20, but not the + that a form would send.
    const url = `${viewer}#${fragment.toString().replaceAll("+", "%20")}`;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === name)));
    // A new fragment alone would not load anything: the frame is a new one each time.
    const frame = await need(viewer).then(
      () => h("iframe", { title: "Flame graph", src: url }),
      (error) => h("p", { class: "warning" }, error.message),
    );
    if (shown[0] === name) place.replaceChildren(frame);
  }
  document.addEventListener("theme", () => show(...shown));
  show(...shown);
  const note = hasDifference ? h("p", { class: "note" }, "A flame graph has no negative width: what grew and what shrank since the profile before are two pictures, in shares of all CPU.") : null;
  return [h("h2", {}, "Flame graph"), h("div", { class: "buttons", role: "group", "aria-label": "What is shown" }, buttons), ...(note ? [note] : []), place];
}

function difference(found) {
  const change = (row) => row.new - row.old;
  const functions = [
    { name: "Function", text: true, value: (row) => row.function, cell: (row) => h("code", {}, row.function) },
    { name: "Before", value: (row) => row.old, cell: (row) => percent(row.old, 2) },
    { name: "Now", value: (row) => row.new, cell: (row) => percent(row.new, 2) },
    { name: "Change", value: change, cell: (row) => `${change(row) > 0 ? "+" : ""}${percent(change(row), 2)}` },
  ];
  const edges = [
    { name: "Caller", text: true, value: (edge) => edge[0], cell: (edge) => h("code", {}, edge[0]) },
    { name: "Callee", text: true, value: (edge) => edge[1], cell: (edge) => h("code", {}, edge[1]) },
    { name: "Line", title: "from the caller's func line", value: (edge) => edge[2], cell: (edge) => `+${edge[2]}` },
  ];
  const some = (name, rows, all) => (rows.length ? [h("details", {}, h("summary", {}, `${name}: ${number(all)}`), table(rows.length < all ? `${name}, the heaviest ${rows.length}` : name, edges, rows, { column: -1 }))] : [h("p", {}, `${name}: none`)]);
  const same = found.unchanged ? "The compiler reads the same from both. " : "";
  return [
    h("h2", {}, "Against the profile before"),
    h("p", {}, `${same}Overlap of the call edges: ${number(found.overlap, 2)}. The profile before is that of run `, h("a", { href: `run?${new URLSearchParams({ dag_id: dag, run_id: found.old_run })}` }, found.old_run), "."),
    table("Functions, by their own share of the CPU", functions, found.functions, { column: 2, down: true }),
    ...some("Hot call edges gained", found.gained, found.hot_gained),
    ...some("Hot call edges lost", found.lost, found.hot_lost),
  ];
}

// How the tables are sorted outlives their being drawn anew.
const sorted = { datacenters: { column: 0, down: false }, instances: { column: 0, down: false } };

function instances({ instances: all, datacenters, stopped }) {
  const reasons = (row) => Object.entries(row.reasons).map(([reason, count]) => h("div", {}, `${number(count)} × ${reason}`));
  const byDatacenter = [
    { name: "Datacenter", text: true, value: (row) => row.name, cell: (row) => row.name || none },
    { name: "Profiles", value: (row) => row.fetched, cell: (row) => number(row.fetched) },
    { name: "Asked", value: (row) => row.asked, cell: (row) => number(row.asked) },
    { name: "Why not", text: true, value: (row) => row.asked - row.fetched, cell: (row) => reasons(row) },
  ];
  const each = [
    { name: "Instance", text: true, value: (row) => row.instance, cell: (row) => h("code", {}, row.instance) },
    { name: "Datacenter", text: true, value: (row) => row.datacenter, cell: (row) => row.datacenter || none },
    { name: "Round", value: (row) => row.round, cell: (row) => number(row.round) },
    { name: "Cores", value: (row) => row.cores, cell: (row) => number(row.cores, 2) },
    { name: "State", text: true, value: (row) => row.state, cell: (row) => h("span", { class: `state ${row.state}` }, row.state) },
    { name: "Samples", value: (row) => row.samples || null, cell: (row) => (row.samples ? number(row.samples) : none) },
    { name: "Size", value: (row) => row.size || null, cell: (row) => (row.size ? bytes(row.size) : none) },
    { name: "Reason", text: true, value: (row) => row.reason, cell: (row) => row.reason },
  ];
  const parts = [h("h2", {}, "Instances")];
  if (stopped) parts.push(h("p", { class: "warning" }, `Nobody was asked any more: ${stopped}`));
  return [...parts, table("By datacenter", byDatacenter, datacenters, sorted.datacenters), table("Each instance", each, all, sorted.instances)];
}

/** What is proposed, or would have been in a dry run, as plain text: its Markdown is for the forge. */
async function proposal(names) {
  const texts = await Promise.all(names.map(async (name) => (await fetch(artifact(name))).text()));
  const fold = (name, place) => h("details", {}, h("summary", {}, name === "pull_request.diff" ? "What it changes" : "Its text"), h("pre", {}, texts[place]));
  return [h("h2", {}, "Pull request"), ...names.map(fold)];
}

function downloads({ artifacts }) {
  return [h("h2", {}, "Downloads"), h("ul", {}, artifacts.map(({ name, size, about }) => h("li", {}, h("a", { href: artifact(name), download: name }, name), `, ${bytes(size)}: ${about}`)))];
}

async function look() {
  const found = await get(api);
  document.querySelector("h1").textContent = found.service;
  document.querySelector("#state").textContent = `${run}${found.state ? `: ${found.state}` : ""}`;
  fill("stages", found.stages, () => stages(found));
  const proposed = found.artifacts.filter(({ name }) => ["pull_request.md", "pull_request.diff"].includes(name));
  const texts = proposed.length ? await proposal(proposed.map(({ name }) => name)) : [];
  if (proposed.length) fill("proposal", proposed, () => texts);
  if (found.measurements.length) fill("measurements", found.measurements, () => [h("h2", {}, "What was saved"), h("div", {}, found.measurements.toReversed().map(measurement))]);
  if (found.sufficiency) fill("sufficiency", [found.sufficiency, found.warnings], () => sufficiency(found));
  if (found.instances.length) fill("instances", [found.instances, found.stopped], () => instances(found));
  if (found.artifacts.length) fill("downloads", found.artifacts, () => downloads(found));
  if (found.has_profile && !drawn.has("flame")) {
    const change = await get(`${api}/difference`);
    fill("flame", [found.run, Boolean(change)], () => flame(change));
    if (change) fill("difference", change, () => difference(change));
  }
  return found;
}

async function watch() {
  let again = CALM;
  try {
    const { state, stages: all } = await look();
    say(null);
    const fetching = all.some((stage) => stage.name === "Merge" && stage.state === "waiting");
    again = ["queued", "running"].includes(state) ? (fetching ? LIVELY : CALM) : null;
  } catch (error) {
    say(error);
    if (error.final) again = null;
  }
  document.querySelector("main").setAttribute("aria-busy", "false");
  if (again !== null) setTimeout(() => (document.hidden ? addEventListener("visibilitychange", watch, { once: true }) : watch()), again);
}

await watch();
