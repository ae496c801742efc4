"use strict";

// Tables that a reader may want in another order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map(row => [row, row.cells[column].dataset.value, row.cells[column].textContent.trim()]);
    // What was not measured stays below, whichever way the others go.
    rows.sort(([, a, textA], [, b, textB]) => {
      const absent = (textA === "-") - (textB === "-");
      const order = a !== undefined && b !== undefined ? a - b : textA.localeCompare(textB, undefined, { numeric: true });
      return absent || (up ? order : -order);
    });
    body.append(...rows.map(([row]) => row));
  }));
}

// The browser of questions: rows are made as they are asked for, answers are unpacked when a question is opened.
const source = document.getElementById("questions-data");
if (source) browse(JSON.parse(source.textContent), document.getElementById("questions-browser"));

function browse(data, place) {
  const PAGE = 50;
  const words = data.words;
  const form = place.querySelector("form");
  const list = place.querySelector(".list");
  const count = place.querySelector(".count");
  const more = place.querySelector(".more");
  const runsOf = data.arms.map(arm => data.runs.flatMap((run, number) => run.arm === arm ? [number] : []));
  const right = (run, question) => data.right[run][question] === "1";
  const wins = (arm, question) => runsOf[arm].filter(run => right(run, question)).length;
  const lowered = data.questions.map(question => `${question.text}\n${question.expected}`.toLowerCase());
  let found = [];
  let shown = 0;

  // Of the seeds that both arms have: in how many the first alone is right, and in how many the second.
  function flips(a, b, question) {
    let onlyA = 0, onlyB = 0, both = 0, neither = 0;
    for (const one of runsOf[a]) {
      const other = runsOf[b].find(run => data.runs[run].seed === data.runs[one].seed);
      if (other === undefined) continue;
      const pair = [right(one, question), right(other, question)];
      if (pair[0] && pair[1]) both++; else if (pair[0]) onlyA++; else if (pair[1]) onlyB++; else neither++;
    }
    return { onlyA, onlyB, both, neither };
  }

  function search() {
    const sought = form.elements.search.value.trim().toLowerCase();
    const a = Number(form.elements.first.value), b = Number(form.elements.second.value), kind = form.elements.kind.value;
    found = [];
    data.questions.forEach((question, number) => {
      if (sought && !lowered[number].includes(sought)) return;
      const counts = flips(a, b, number);
      const size = { all: 1, flips: counts.onlyA + counts.onlyB, first: counts.onlyA, second: counts.onlyB,
        both: counts.both, neither: counts.neither }[kind];
      if (size) found.push([number, size]);
    });
    if (kind !== "all") found.sort((x, y) => y[1] - x[1] || x[0] - y[0]);
    list.replaceChildren();
    shown = 0;
    count.textContent = words.found.replace("{found}", found.length).replace("{all}", data.questions.length);
    show();
  }

  function show() {
    list.append(...found.slice(shown, shown + PAGE).map(([number]) => row(number)));
    shown = Math.min(found.length, shown + PAGE);
    more.hidden = shown >= found.length;
  }

  function row(number) {
    const question = data.questions[number];
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    const counts = data.arms.map((arm, place) => `${arm} ${wins(place, number)}/${runsOf[place].length}`).join(" · ");
    summary.textContent = `${question.index}. ${question.text.slice(0, 160)} (${counts})`;
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) open(number, details);
    });
    return details;
  }

  async function open(number, details) {
    const question = data.questions[number];
    const text = document.createElement("p");
    text.className = "answer";
    text.textContent = question.text;
    const expected = document.createElement("p");
    expected.textContent = words.expected.replace("{}", question.expected);
    details.append(text, expected);
    const given = (await chunk(Math.floor(number / data.chunk)))[number % data.chunk];
    const wide = document.createElement("div");
    wide.className = "wide";
    const table = wide.appendChild(document.createElement("table"));
    const head = table.createTHead().insertRow();
    for (const title of words.headers) head.append(Object.assign(document.createElement("th"), { textContent: title, scope: "col" }));
    const body = table.createTBody();
    data.runs.forEach((run, place) => {
      const line = body.insertRow();
      line.append(Object.assign(document.createElement("th"), { textContent: `${run.arm}, ${run.seed}`, scope: "row" }));
      const verdict = line.insertCell();
      verdict.textContent = right(place, number) ? words.right : words.wrong;
      verdict.className = right(place, number) ? "right" : "wrong";
      line.insertCell().textContent = given[place][0];
      const answer = line.insertCell();
      answer.className = "answer";
      answer.textContent = given[place][1];
    });
    details.append(wide);
  }

  const unpacked = new Map();
  async function chunk(number) {
    if (!unpacked.has(number)) {
      const bytes = Uint8Array.from(atob(data.answers[number]), letter => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      unpacked.set(number, JSON.parse(await new Response(stream).text()));
    }
    return unpacked.get(number);
  }

  for (const select of [form.elements.first, form.elements.second]) {
    data.arms.forEach((arm, place) => select.append(new Option(arm, place)));
  }
  // The baseline is the first arm: what a reader asks is how another does against it.
  form.elements.first.value = data.arms.length > 1 ? 1 : 0;
  form.elements.second.value = 0;
  form.addEventListener("submit", event => event.preventDefault());
  let waiting;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, 120);
  });
  more.addEventListener("click", show);
  place.hidden = false;
  search();
}
