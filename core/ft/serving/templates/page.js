"use strict";
const FEW = 10;
const at = (id) => document.getElementById(id);
const made = (tag, text, kind) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (kind) element.className = kind;
  return element;
};
const share = (value) => (100 * value).toFixed(1) + "%";
let asked = 0, file = null, address = "";

const say = (text, wrong) => {
  at("said").textContent = text;
  at("said").classList.toggle("wrong", Boolean(wrong));
};

const view = (title, source) => {
  const figure = made("figure"), caption = made("figcaption"), img = made("img");
  caption.append(made("bdi", title));
  img.alt = title;
  img.onerror = () => img.replaceWith(made("p", "This browser does not show this format.", "muted"));
  img.src = source;
  figure.append(caption, img);
  return figure;
};

const bars = (told, all) => {
  const names = Object.entries(told.probabilities || {}).sort((one, other) => other[1] - one[1]);
  const shown = all ? names : names.slice(0, FEW);
  at("bars").replaceChildren(...shown.map(([name, value]) => {
    const item = made("li"), button = made("button"), track = made("i"), bar = made("b");
    button.type = "button";
    button.disabled = !told.map;
    if (told.map) {
      button.title = "Show where in the image this comes from";
      button.setAttribute("aria-pressed", String(told.map.of === name));
    }
    bar.style.width = share(value);
    track.append(bar);
    button.append(made("bdi", name), made("output", share(value)), track);
    button.onclick = () => ask(name);
    item.append(button);
    return item;
  }));
  at("more").hidden = shown.length === names.length;
  at("more").textContent = "Show all " + names.length;
  at("more").onclick = () => bars(told, true);
};

const show = (told) => {
  const answers = Object.entries(told.answer), [first, ...others] = answers;
  at("title").textContent = told.probabilities || answers.length === 1
    ? first[1] || "nothing"
    : answers.map(([name, value]) => name + " " + value).join(", ");
  const views = [view(file.name || "the image", address)];
  if (told.map) views.push(view("Where “" + told.map.of + "” comes from", told.map.overlay));
  at("views").replaceChildren(...views);
  at("about-map").textContent = !told.map
    ? "No heat map: " + told.lacking + "."
    : told.map.empty
      ? "The map is empty: at that layer nothing in the image speaks for it."
      : "Map by " + told.map.method + ".";
  bars(told, false);
  at("found").hidden = false;
};

const ask = async (of) => {
  const mine = ++asked;
  say("Asking…");
  try {
    const query = of === undefined ? "" : "?of=" + encodeURIComponent(of);
    const form = new FormData();
    form.append("image", file, file.name || "image");
    const answer = await fetch("explain" + query, {method: "POST", body: form});
    const told = await answer.json();
    if (mine !== asked) return;
    if (!answer.ok) {
      at("found").hidden = true;
      say(told.error, true);
      return;
    }
    show(told);
    say("");
    if (of === undefined) at("found").focus();
  } catch (error) {
    if (mine === asked) say("The service does not answer: " + error.message, true);
  }
};

const take = (files) => {
  if (!files || !files.length) return;
  if (address) URL.revokeObjectURL(address);
  file = files[0];
  address = URL.createObjectURL(file);
  ask();
};

at("file").onchange = (event) => {
  take([...event.target.files]);
  event.target.value = "";
};
for (const name of ["dragover", "dragenter"]) document.addEventListener(name, (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));
at("curl").textContent = "curl -F images=@cat.jpg " + new URL("predict", location.href).href;
