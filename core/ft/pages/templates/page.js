"use strict";
const images = JSON.parse(document.getElementById("images").textContent);
const made = (tag, text, kind) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (kind) element.className = kind;
  return element;
};
const filled = (root) => {
  for (const img of root.querySelectorAll("img[data-photo]")) img.src = images.photos[img.dataset.photo];
  for (const img of root.querySelectorAll("img[data-map]")) img.src = images.maps[img.dataset.map];
};
filled(document);

const gallery = document.getElementById("gallery");
const shot = (number) => {
  const figure = made("figure"), pair = made("div", "", "images"), name = images.names[number] || "";
  if (images.photos[number]) {
    const img = made("img");
    img.dataset.photo = number;
    img.alt = name;
    pair.append(img);
  } else pair.append(made("span", images.why[number] || images.note, "gone"));
  const map = Object.keys(images.maps).find((key) => key.startsWith(number + ":"));
  if (map) {
    const img = made("img");
    img.dataset.map = map;
    img.alt = "Where in it the answer comes from";
    pair.append(img);
  }
  const caption = made("figcaption"), path = made("span", "", "path");
  path.append(made("bdi", name));
  caption.append(path);
  figure.append(pair, caption);
  return figure;
};
const opened = (numbers, title, count) => {
  const shots = document.getElementById("gallery-shots"), note = document.getElementById("gallery-note");
  document.getElementById("gallery-title").textContent = title || "";
  const embedded = numbers.filter((number) => images.photos[number]);
  const some = embedded.length ? embedded : numbers;
  note.textContent = count > some.length ? `${some.length} of ${count} images` : "";
  shots.replaceChildren(...some.map(shot));
  shots.classList.toggle("single", some.length === 1);
  filled(shots);
  gallery.showModal();
};
const open_from = (element) => {
  const numbers = element.dataset.open.split(" ").filter(Boolean), said = element.querySelector("title");
  opened(numbers, element.dataset.title || (said && said.textContent), Number(element.dataset.count || numbers.length));
};
document.addEventListener("click", (event) => {
  const element = event.target.closest("[data-open]");
  if (element) open_from(element);
});
gallery.addEventListener("click", (event) => { if (event.target === gallery) gallery.close(); });

for (const chart of document.querySelectorAll(".chart svg[tabindex]")) {
  const points = [...chart.querySelectorAll("[data-open]")];
  let current = -1;
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      if (current >= 0) points[current].classList.remove("current");
      current = (current + step + points.length) % points.length;
      points[current].classList.add("current");
      event.preventDefault();
    } else if (event.key === "Enter" && current >= 0) {
      event.preventDefault();  // else the same key presses the button that closes what it opened
      open_from(points[current]);
    }
  });
}

for (const choice of document.querySelectorAll(".choice")) {
  const select = choice.querySelector("select"), parts = choice.querySelectorAll(":scope > .chosen");
  const show = () => parts.forEach((part, number) => { part.hidden = number !== select.selectedIndex; });
  select.addEventListener("change", show);
  show();
}

for (const slider of document.querySelectorAll(".slider")) {
  const rows = JSON.parse(slider.dataset.rows), input = slider.querySelector("input");
  const show = () => {
    const [value, ...numbers] = rows[input.value];
    slider.querySelector("output").textContent = value;
    input.setAttribute("aria-valuetext", value);
    slider.querySelectorAll("dd").forEach((cell, place) => { cell.textContent = numbers[place]; });
  };
  input.addEventListener("input", show);
  show();
}

for (const table of document.querySelectorAll(".sortable")) {
  const heads = [...table.querySelectorAll("thead th")], body = table.tBodies[0];
  heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
    const key = (row) => row.cells[place].dataset.value;
    body.append(...[...body.rows].sort((one, other) => down * (key(one) !== undefined
      ? Number(key(one)) - Number(key(other))
      : one.cells[place].textContent.localeCompare(other.cells[place].textContent, undefined, { numeric: true }))));
  }));
}

for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => {
  const code = button.closest("figure").querySelector("code"), range = document.createRange();
  range.selectNodeContents(code);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  const done = () => { button.textContent = "copied"; };
  if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, () => {});
  else if (document.execCommand("copy")) done();
});
