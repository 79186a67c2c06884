"use strict";
// The table of frames. Only the rows that are in sight are on the page; texts are set as text, never as HTML.
(() => {
  const ROW = 30, AROUND = 8;
  const data = JSON.parse(document.getElementById("data").textContent);
  const grid = document.getElementById("grid"), head = document.getElementById("head"), body = document.getElementById("body");
  const find = document.getElementById("find"), state = document.getElementById("state"), count = document.getElementById("count");
  const detail = document.getElementById("detail");
  const { columns, rows, words, used } = data;
  const place = Object.fromEntries(columns.map((column, k) => [column.key, k]));
  const numbers = columns.map((c) => c.digits == null ? null
    : new Intl.NumberFormat(data.language, { minimumFractionDigits: c.digits, maximumFractionDigits: c.digits }));
  const order = new Intl.Collator(data.language, { numeric: true });
  const view = { find: "", state: "", sort: "", down: false };
  let shown = [], chosen = null, drawn = "", later = 0;

  // a cell's value: texts that repeat are kept once, as numbers of a list
  const value = (row, k) => columns[k].list ? data.lists[columns[k].list][row[k]] : row[k];
  function text(row, k) {
    const found = value(row, k);
    if (found === null || found === "") return "–";
    return numbers[k] ? numbers[k].format(found) : String(found);
  }
  // names of subs begin alike and differ at their ends: a long one loses its middle
  const narrow = matchMedia("(max-width: 560px)").matches, [begin, end] = narrow ? [3, 18] : [13, 25];
  const brief = (name) => name.length > begin + end + 2 ? `${name.slice(0, begin)}…${name.slice(-end)}` : name;
  const haystacks = rows.map((row) => columns.map((c, k) => c.find ? value(row, k) : "").join("\n").toLowerCase());

  function compare(a, b, k) {
    const x = value(a, k), y = value(b, k), noX = x === null || x === "", noY = y === null || y === "";
    if (noX || noY) return noX - noY; // what is not known comes last, either way
    const by = typeof x === "number" ? x - y : order.compare(x, y);
    return view.down ? -by : by;
  }

  function choose() {
    const wanted = view.find.toLowerCase().split(/\s+/).filter(Boolean), k = place.state;
    shown = [];
    for (let i = 0; i < rows.length; i++) {
      if (view.state && String(rows[i][k]) !== view.state) continue;
      if (wanted.every((word) => haystacks[i].includes(word))) shown.push(i);
    }
    if (view.sort in place) shown.sort((a, b) => compare(rows[a], rows[b], place[view.sort]) || a - b);
    const n = new Intl.NumberFormat(data.language);
    count.textContent = words.count.replace("{shown}", n.format(shown.length)).replace("{all}", n.format(rows.length));
    grid.setAttribute("aria-rowcount", shown.length + 1);
    body.style.height = `${shown.length * ROW}px`;
    for (const cell of head.children) {
      const mine = cell.dataset.key === view.sort;
      cell.setAttribute("aria-sort", mine ? (view.down ? "descending" : "ascending") : "none");
    }
    grid.scrollTop = 0;
    draw(true);
  }

  function draw(anew) {
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW) - AROUND);
    const last = Math.min(shown.length, Math.ceil((grid.scrollTop + grid.clientHeight) / ROW) + AROUND);
    if (anew !== true && drawn === `${first} ${last}`) return;
    drawn = `${first} ${last}`;
    body.replaceChildren(...shown.slice(first, last).map((i, k) => line(i, first + k)));
  }

  function line(i, at) {
    const element = document.createElement("div");
    element.className = `row${rows[i][place.state] === used ? "" : " lost"}${i === chosen ? " chosen" : ""}`;
    element.setAttribute("role", "row");
    element.setAttribute("aria-rowindex", at + 2);
    element.style.top = `${at * ROW}px`;
    element.dataset.row = i;
    element.id = `frame${i}`;
    element.setAttribute("aria-selected", i === chosen);
    columns.forEach((column, k) => {
      if (column.hidden) return;
      const cell = document.createElement("span");
      cell.setAttribute("role", "cell");
      if (numbers[k]) cell.className = "right";
      const told = text(rows[i], k);
      cell.textContent = column.key === "file" ? brief(told) : told;
      if (cell.textContent !== told) cell.title = told;
      element.append(cell);
    });
    return element;
  }

  function tell(i) {
    chosen = i;
    grid.setAttribute("aria-activedescendant", `frame${i}`);
    detail.replaceChildren(...columns.map((column, k) => {
      const pair = document.createElement("div"), name = document.createElement("dt"), what = document.createElement("dd");
      if (column.wide) pair.className = "wide";
      name.textContent = column.name;
      what.textContent = text(rows[i], k);
      pair.append(name, what);
      return pair;
    }));
    draw(true);
  }

  // the view is in the address, so that a link leads to it: #frames?sort=fwhm&down=1&find=cloud
  function read() {
    const given = new URLSearchParams((location.hash.split("?")[1]) || "");
    view.find = given.get("find") || "";
    view.sort = given.get("sort") || "";
    view.down = given.get("down") === "1";
    view.state = String(data.states.indexOf(given.get("state")));
    if (view.state === "-1") view.state = "";
    find.value = view.find;
    state.value = view.state;
    choose();
    const row = given.get("row");
    if (row !== null && rows[row]) tell(Number(row));
  }

  function changed() {
    choose();
    clearTimeout(later);
    later = setTimeout(remember, 400); // browsers do not take a new address with every key
  }

  function remember() {
    const told = new URLSearchParams();
    for (const key of ["find", "sort"]) if (view[key]) told.set(key, view[key]);
    if (view.down) told.set("down", "1");
    if (view.state) told.set("state", data.states[view.state]);
    const query = told.toString();
    history.replaceState(null, "", query ? `#frames?${query}` : "#frames");
  }

  columns.forEach((column, k) => {
    if (column.hidden) return;
    const cell = document.createElement("div"), button = document.createElement("button");
    cell.setAttribute("role", "columnheader");
    cell.dataset.key = column.key;
    if (numbers[k]) cell.className = "right";
    button.type = "button";
    button.textContent = column.name;
    button.title = column.name;
    button.addEventListener("click", () => {
      if (view.sort !== column.key) [view.sort, view.down] = [column.key, false];
      else if (!view.down) view.down = true;
      else [view.sort, view.down] = ["", false];
      changed();
    });
    cell.append(button);
    head.append(cell);
  });
  const longest = rows.reduce((most, row) => Math.max(most, brief(row[place.file]).length), 0);
  columns[place.file].width = Math.min(columns[place.file].width, 0.5 * longest + 1.5);
  grid.style.setProperty("--columns", columns.filter((c) => !c.hidden)
    .map((c) => `${narrow ? Math.min(c.width, 12.5) : c.width}rem`).join(" ").replace(/[\d.]+rem$/, "minmax($&, 1fr)"));
  data.lists.state.forEach((name, k) => state.append(new Option(name, k)));
  find.addEventListener("input", () => { view.find = find.value; changed(); });
  state.addEventListener("change", () => { view.state = state.value; changed(); });
  body.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) tell(Number(row.dataset.row));
  });
  // the keys of a list: a row, a page, all the way; what is known of the chosen row is told below the table
  grid.addEventListener("keydown", (event) => {
    if (event.target !== grid || event.ctrlKey || event.metaKey || event.altKey || !shown.length) return;
    const page = Math.max(1, Math.floor((grid.clientHeight - head.offsetHeight) / ROW) - 1), now = shown.indexOf(chosen), all = shown.length;
    const to = { ArrowDown: now + 1, ArrowUp: now < 0 ? 0 : now - 1, PageDown: now + page, PageUp: now - page, Home: 0, End: all - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const at = Math.min(Math.max(to, 0), all - 1), top = at * ROW, room = grid.clientHeight - head.offsetHeight;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top + ROW > grid.scrollTop + room) grid.scrollTop = top + ROW - room;
    tell(shown[at]);
  });
  head.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], mine = [...head.children].indexOf(event.target.parentElement);
    const next = step && head.children[mine + step];
    if (!next) return;
    event.preventDefault();
    next.firstElementChild.focus();
  });
  const hint = () => grid.classList.toggle("more", grid.scrollLeft + grid.clientWidth < grid.scrollWidth - 2);
  grid.addEventListener("scroll", () => requestAnimationFrame(() => { draw(); hint(); }), { passive: true });
  new ResizeObserver(hint).observe(grid);
  addEventListener("resize", draw);
  addEventListener("hashchange", read);
  read();
})();
