// Filters and sorts the cards of the gallery. Without it all of them are there, in the order in which they were written.
(() => {
  const form = document.getElementById("filters");
  const list = document.getElementById("runs");
  const said = document.getElementById("said");
  const cards = [...list.children].map((item, place) => ({ item, place, ...item.dataset, text: item.textContent.toLowerCase() }));
  const orders = {
    families: (a, b) => a.place - b.place,
    newest: (a, b) => b.when - a.when,
    oldest: (a, b) => a.when - b.when,
    best: (a, b) => b.share - a.share || b.when - a.when,
    worst: (a, b) => a.share - b.share || b.when - a.when,
    rounds: (a, b) => b.rounds - a.rounds || b.when - a.when,
    images: (a, b) => b.images - a.images || b.when - a.when,
  };
  let order = "families";
  const show = () => {
    const { find, outcome, preset, model, sort } = Object.fromEntries(new FormData(form));
    const words = find.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const card of cards) {
      const fits = words.every((word) => card.text.includes(word)) && (!outcome || card.outcome === outcome)
        && (!preset || card.preset === preset) && (!model || card.models.split("\n").includes(model));
      card.item.hidden = !fits;
      left += fits;
    }
    if (sort !== order) list.append(...cards.toSorted(orders[sort]).map((card) => card.item));
    order = sort;
    const all = `${cards.length} ${cards.length === 1 ? "run" : "runs"}`;
    said.textContent = left === cards.length ? all : `${left} of ${all}`;
  };
  // A link to a card that a filter hides takes the filters back first.
  list.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (!link || !document.getElementById(link.hash.slice(1))?.hidden) return;
    for (const field of form.elements) if (field.name !== "sort") field.value = "";
    show();
  });
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(show));
  show();
})();
