// The fleet: what PGO saves now, one row per service, and the sum of what was measured.
import { age, bytes, day, get, h, interval, need, none, number, outside, saving, say, table, verdict } from "./page.js";

const HEIGHT = 260;

const runPage = (dag, run) => `run?${new URLSearchParams({ dag_id: dag, run_id: run })}`;

function profile(service, now) {
  if (!service.profile) return none;
  return h("a", { href: runPage(service.dag_id, service.profile.run), title: `profile ${service.profile.digest}` }, age(service.profile.made_at, now));
}

function waiting({ waiting: request }) {
  return request ? outside(request.url, `#${request.number}`) : none;
}

function lastSaving({ last }) {
  if (!last || last.saving === null || last.verdict === "invalid") return none;
  return last.attribution === "PGO" ? saving(last) : [saving(last), h("br"), h("span", { class: "note" }, "release and PGO together")];
}

/** A small fleet reclaims thousandths. */
const digits = (cores) => (Math.abs(cores) < 1 ? 3 : 1);

function cores(sum) {
  return sum ? interval(...[sum.cores, sum.low, sum.high].map((value) => number(value, digits(sum.cores)))) : none;
}

/** What PGO saves now, measured against a baseline; or why that is not known. */
function levelOf({ level }) {
  if (!level) return none;
  if (level.saving === null) return h("span", { class: "note", title: level.reason }, "not known");
  return saving(level);
}

function levelCores(level) {
  const count = Math.abs(level.cores) < 10 ? digits(level.cores) : 0;
  const [cores, low, high] = [level.cores, level.cores_low, level.cores_high].map((value) => number(value, count));
  return `${cores} cores [${low}, ${high}]`;
}

/** The headline: what PGO saves now. It is known of services with a baseline alone. */
function headline({ level, services: rows }) {
  if (!level) return [];
  const known = rows.filter((row) => row.level && row.level.saving !== null).length;
  const of = known < rows.length ? ` in the ${known} of ${rows.length} services with a baseline` : "";
  return [h("p", { class: "headline" }, "PGO saves ", saving(level), ", ", levelCores(level), `, now${of}`)];
}

function services({ services: rows, now }) {
  const columns = [
    { name: "Service", text: true, value: (row) => row.service, cell: (row) => outside(new URL(`../dags/${encodeURIComponent(row.dag_id)}`, document.baseURI).href, row.service) },
    { name: "Owner", text: true, value: (row) => row.owners, cell: (row) => row.owners || none },
    { name: "Profile's age", title: "since the profile on the base branch was made", value: (row) => row.profile && -new Date(row.profile.made_at), cell: (row) => profile(row, now) },
    { name: "Size", value: (row) => row.profile?.size, cell: (row) => bytes(row.profile?.size) },
    { name: "Samples", value: (row) => row.profile?.samples, cell: (row) => number(row.profile?.samples) },
    { name: "Source match", title: "share of the profile's weight that the base branch still had when a run last compared them", value: (row) => row.source_match, cell: (row) => number(row.source_match, 2) },
    { name: "Last verdict", text: true, value: (row) => row.last?.verdict, cell: (row) => (row.last ? verdict(row.last.verdict) : none) },
    { name: "Last saving", title: "share of the CPU, 95 % interval", value: (row) => row.last?.saving, cell: lastSaving },
    { name: "PGO saves now", title: "share of the CPU against a baseline without the profile, 95 % interval", value: (row) => row.level?.saving, cell: levelOf },
    { name: "Sum of changes", title: "cores; the sum of measured changes, not what PGO saves now; 95 % interval", value: (row) => row.cores?.cores, cell: (row) => cores(row.cores) },
    { name: "Core-hours", value: (row) => row.core_hours, cell: (row) => number(row.core_hours) },
    { name: "Waiting", title: "pull request that waits for its merge", value: (row) => row.waiting?.number, cell: waiting },
    { name: "Last run", text: true, value: (row) => row.last_run_state, cell: (row) => (row.last_run ? h("a", { href: runPage(row.dag_id, row.last_run), title: row.last_run }, row.last_run_state) : none) },
    { name: "Next run", text: true, value: (row) => row.next_run, cell: (row) => (row.next_run ? day(row.next_run) : row.paused ? "paused" : none) },
  ];
  return table("Services", columns, rows);
}

function summary({ services: rows, reclaimed }) {
  const sum = reclaimed.at(-1);
  const figures = [
    ["services", number(rows.length)],
    ["with a profile", number(rows.filter((row) => row.profile).length)],
    ["pull requests waiting", number(rows.filter((row) => row.waiting).length)],
    ["sum of measured changes, cores", cores(sum)],
    ["core-hours of these changes", number(rows.reduce((total, row) => total + row.core_hours, 0))],
  ];
  return h("dl", { class: "figures" }, figures.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function problems({ services: rows }) {
  const found = rows.flatMap((row) => row.problems);
  if (!found.length) return [];
  return [h("details", { class: "warning" }, h("summary", {}, `${found.length} artifacts could not be read`), h("ul", {}, found.map((problem) => h("li", {}, problem))))];
}

/** The day of a Unix time, in UTC. */
const dayOf = (at) => new Date(at * 1000).toISOString().slice(0, 10);

/** Days; where there is not a handful of them, times of day. */
function ticks(times) {
  const time = (at) => new Date(at * 1000).toISOString().slice(11, 16);
  return times.map(times.at(-1) - times[0] < 3 * 86_400 ? time : dayOf);
}

/** The library that draws. Without it the rest of the page is as useful. */
async function drawer() {
  try {
    return (await import("./uplot/uPlot.esm.js")).default;
  } catch (error) {
    await need("static/uplot/uPlot.esm.js"); // the import's own error does not say what the server said
    throw error;
  }
}

/** The sum after each change, as steps; the band is its 95 % interval. */
function draw(uPlot, place, points, now) {
  const style = getComputedStyle(document.documentElement);
  const [line, band, text, grid] = ["--accent", "--band", "--text", "--line"].map((name) => style.getPropertyValue(name));
  const until = { ...points.at(-1), at: now };
  const all = [...points, until];
  const stepped = uPlot.paths.stepped({ align: 1 });
  const edge = { stroke: "transparent", paths: stepped, points: { show: false } };
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
  const show = (_plot, value) => number(value, digits(until.cores));
  place.replaceChildren();
  return new uPlot(
    {
      width: place.clientWidth,
      height: HEIGHT,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      scales: { y: { range: (_plot, low, high) => [Math.min(0, low), high * 1.05] } },
      axes: [{ ...axis, space: 100, values: (_plot, times) => ticks(times) }, { ...axis, label: "cores" }],
      series: [
        { value: (_plot, at) => (at === null ? none : dayOf(at)), label: "day" },
        { ...edge, label: "97.5 %", value: show },
        { ...edge, label: "2.5 %", value: show },
        { stroke: line, width: 2, paths: stepped, points: { show: false }, label: "sum of changes", value: show },
      ],
      bands: [{ series: [1, 2], fill: band }],
    },
    [all.map(({ at }) => new Date(at) / 1000), ...["high", "low", "cores"].map((name) => all.map((point) => point[name]))],
    place,
  );
}

async function plot({ reclaimed, now }) {
  const section = document.querySelector("#plot");
  section.replaceChildren(h("h2", {}, "Sum of measured changes, not what PGO saves now"));
  if (!reclaimed.length) {
    section.append(h("p", {}, "No refresh has a valid measurement yet."));
    return;
  }
  const place = h("div", { class: "plot", "aria-hidden": "true" });
  const at = (row) => row.at.slice(0, 10);
  const columns = [
    { name: "Day", text: true, value: at, cell: at },
    { name: "Cores", value: (row) => row.cores, cell: (row) => number(row.cores, digits(row.cores)) },
    { name: "2.5 %", value: (row) => row.low, cell: (row) => number(row.low, digits(row.cores)) },
    { name: "97.5 %", value: (row) => row.high, cell: (row) => number(row.high, digits(row.cores)) },
  ];
  // A picture says nothing to a screen reader: the figures are there as well, made when they are asked for.
  const details = h("details", { ontoggle: () => details.open && details.childElementCount === 1 && details.append(table("Sum of measured changes, by day", columns, reclaimed, { column: 0, down: true })) }, h("summary", {}, "The figures of this picture"));
  section.append(h("p", { class: "note" }, "The measured changes of all valid refreshes, each on top of those before, shrunk by their noise; the band is the 95 % interval. What a profile lost with age and a refresh regained is counted each time."), place, details);
  let uPlot;
  try {
    uPlot = await drawer();
  } catch (error) {
    place.replaceWith(h("p", { class: "warning" }, error.message));
    return;
  }
  let drawn = draw(uPlot, place, reclaimed, now);
  document.addEventListener("theme", () => (drawn = draw(uPlot, place, reclaimed, now)));
  new ResizeObserver(() => drawn.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
}

try {
  const fleet = await get("api/fleet");
  document.querySelector("#summary").replaceChildren(...headline(fleet), summary(fleet), ...problems(fleet));
  document.querySelector("#services").replaceChildren(services(fleet));
  await plot(fleet);
} catch (error) {
  say(error);
} finally {
  document.querySelector("main").setAttribute("aria-busy", "false");
}
