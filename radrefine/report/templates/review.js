// The decisions of a person about single marks: kept in the browser, exported as the table that `clean` obeys.
const review = (() => {
  const COLUMNS = ["path", "kind", "x", "y", "width", "height"];
  const decisions = new Map();
  let storage = "";

  const keyOf = (path, found) => [path, found.kind, found.x, found.y, found.width, found.height].join("\n");

  // Decisions that the folder was made with come first, those made in this browser after them.
  function load(rows) {
    for (const row of rows) decisions.set(row.slice(0, 6).join("\n"), row);
  }

  function open(key) {
    storage = `radrefine-marks-${key}`;
    // A browser may refuse to keep anything; the review then lasts as long as the page is open.
    try { load(JSON.parse(localStorage.getItem(storage) || "[]")); } catch { storage = ""; }
    show();
  }

  function save() {
    try { if (storage) localStorage.setItem(storage, JSON.stringify([...decisions.values()])); } catch { storage = ""; }
    show();
  }

  function decide(path, found, decision) {
    const key = keyOf(path, found);
    if (decision) decisions.set(key, [path, ...COLUMNS.slice(1).map((name) => found[name]), decision]);
    else decisions.delete(key);
    save();
  }

  function show() {
    const left = [...decisions.values()].filter((row) => row[6] === "leave").length;
    element("progress").textContent = decisions.size
      ? `${many(decisions.size, "decision")}: ${left.toLocaleString("en")} to leave, ${(decisions.size - left).toLocaleString("en")} to remove`
      : "No decision yet";
    element("export").disabled = element("forget").disabled = decisions.size === 0;
  }

  function download() {
    const quote = (value) => `"${String(value).replaceAll('"', '""')}"`;
    const lines = [[...COLUMNS, "decision"].join(","), ...[...decisions.values()].map((row) => row.map(quote).join(",")), ""];
    const address = URL.createObjectURL(new Blob([lines.join("\n")], { type: "text/csv" }));
    node("a", { download: "review.csv", href: address }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  return {
    load, open, decide, download,
    of: (path, found) => decisions.get(keyOf(path, found))?.[6] || "",
    forget: () => { decisions.clear(); save(); },
  };
})();
