// What both pages need: elements, numbers as people read them, the way out of Airflow's frame.

/** An element. Text is only ever set as text, so nothing that comes from an instance can become markup. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const none = "–";

// Making a format takes longer than a whole row: there is one for each number of digits.
const formats = new Map();

function format(digits) {
  if (!formats.has(digits)) formats.set(digits, new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" }));
  return formats.get(digits);
}

export function number(value, digits = 0) {
  return value === null || value === undefined ? none : format(digits).format(value);
}

export function percent(share, digits = 1) {
  return share === null || share === undefined ? none : `${number(100 * share, digits)} %`;
}

/** An estimate is never shown without its interval. */
export function interval(estimate, low, high) {
  return h("span", { class: "estimate" }, estimate, " ", h("span", { class: "interval" }, `[${low}, ${high}]`));
}

/** A share saved: 3.1 % [2.2, 4.0]. */
export function saving({ saving: share, low, high }) {
  return interval(percent(share), number(100 * low, 1), number(100 * high, 1));
}

export function bytes(size) {
  if (size === null || size === undefined) return none;
  const unit = size < 1024 ? 0 : size < 1024 ** 2 ? 1 : 2;
  return `${number(size / 1024 ** unit, unit && 1)} ${["B", "KiB", "MiB"][unit]}`;
}

export function day(iso) {
  return h("time", { datetime: iso, title: new Date(iso).toISOString() }, new Date(iso).toISOString().slice(0, 10));
}

/** How long ago, in the largest unit that says enough. */
export function age(iso, now) {
  const hours = (new Date(now) - new Date(iso)) / 3_600_000;
  const text = hours < 1 ? "now" : hours < 48 ? `${Math.floor(hours)} h` : `${Math.floor(hours / 24)} d`;
  return h("time", { datetime: iso, title: new Date(iso).toISOString() }, text);
}

export function verdict(call) {
  return h("span", { class: `verdict ${call.replaceAll(" ", "-")}` }, call);
}

/**
 * A link that leaves this page. Airflow's frame allows neither pop-ups nor navigation of the window, so the click
 * is made in Airflow's own document, which is of the same origin.
 */
export function outside(url, text) {
  if (!/^https?:\/\//.test(url)) return text; // a local forge has paths
  const leave = (event) => {
    if (window.parent === window) return;
    event.preventDefault();
    const link = window.parent.document.createElement("a");
    Object.assign(link, { href: url, target: "_blank", rel: "noopener" });
    link.click();
  };
  return h("a", { href: url, target: "_blank", rel: "noopener", onclick: leave }, text);
}

/** A table that a click or the Enter key sorts by a column: { name, value, cell, text, title }; -1: as the rows come. */
export function table(caption, columns, rows, sorted = { column: 0, down: false }) {
  const body = h("tbody");
  const heads = columns.map((column, index) =>
    h("th", { scope: "col", class: column.text ? null : "number", title: column.title }, h("button", { type: "button", onclick: () => sort(index) }, column.name)),
  );
  function sort(index) {
    const down = sorted.column === index ? !sorted.down : !columns[index].text;
    sorted.column = index;
    sorted.down = down;
    draw();
  }
  function draw() {
    const of = columns[sorted.column]?.value;
    const ordered = of ? rows.toSorted((one, other) => compare(of(one), of(other), sorted.down)) : rows;
    heads.forEach((head, index) =>
      index === sorted.column
        ? head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending")
        : head.removeAttribute("aria-sort"),
    );
    body.replaceChildren(
      ...ordered.map((row) =>
        h("tr", {}, columns.map((column, index) => h(index ? "td" : "th", { class: column.text ? null : "number", scope: index ? null : "row" }, column.cell(row)))),
      ),
    );
  }
  draw();
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, heads)), body));
}

/** What has no value comes last, whichever way the rest goes. */
function compare(one, other, down) {
  const [empty, emptier] = [one, other].map((value) => value === null || value === undefined);
  if (empty || emptier) return empty - emptier;
  return (one < other ? -1 : one > other ? 1 : 0) * (down ? -1 : 1);
}

/** An answer of the plugin; what went wrong is said on the page, not only in a console. */
async function ask(path) {
  const answer = await fetch(path);
  if (answer.ok) return answer;
  const { detail } = await answer.json().catch(() => ({}));
  const why = { 401: "You are signed out: sign in to Airflow again.", 403: "You may not read this DAG." };
  const error = new Error(why[answer.status] ?? detail ?? `Airflow answers ${answer.status}.`);
  throw Object.assign(error, { final: answer.status < 500 });
}

/** JSON from the plugin. */
export async function get(path) {
  return (await ask(path)).json();
}

/** Throw an error with the plugin's sentence, if it has no such file: a library may not be installed. */
export async function need(path) {
  await ask(path);
}

export function say(error) {
  const place = document.querySelector("#problem");
  place.textContent = error ? error.message : "";
  place.hidden = !error;
}
