// What would keep somebody from using this page, as a list of sentences; evaluated in the page by tests/pages.py.
() => {
  const faults = [];
  const visible = (element) => element.checkVisibility({ opacityProperty: false, visibilityProperty: true });
  const tell = (element, what) => faults.push(`${element.tagName.toLowerCase()}.${element.className} "${element.textContent.trim().slice(0, 30)}": ${what}`);

  const channels = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  // The nearest background that is not see-through.
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length && (colour[3] ?? 1) > 0.5) return colour;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
  };

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || ["SCRIPT", "STYLE", "OPTION"].includes(element.tagName) || !visible(element)) continue;
    const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) tell(element, `contrast ${contrast.toFixed(2)} is below 4.5`);
    if (parseFloat(getComputedStyle(element).fontSize) < 11) tell(element, "letters below 11 px");
  }
  for (const image of document.querySelectorAll("img")) if (!image.alt.trim()) tell(image, "no alternative text");
  for (const control of document.querySelectorAll("a, button, input, select, textarea, summary")) {
    const name = control.getAttribute("aria-label") || control.textContent.trim() || [...(control.labels || [])].map((label) => label.textContent.trim()).join("");
    if (!name) tell(control, "no name");
    if (control.tabIndex > 0) tell(control, "jumps the order of the keyboard");
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`the id ${id} occurs twice`);
  for (const element of document.querySelectorAll("[aria-labelledby]"))
    if (!document.getElementById(element.getAttribute("aria-labelledby"))) tell(element, "is named by what is not there");
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].filter(visible).map((heading) => Number(heading.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) faults.push("expected one heading of level 1");
  levels.forEach((level, place) => { if (place && level > levels[place - 1] + 1) faults.push(`a heading of level ${level} follows one of level ${levels[place - 1]}`); });
  if (!document.documentElement.lang) faults.push("the page does not say its language");
  if (document.documentElement.scrollWidth > innerWidth + 1) faults.push(`wider than the window: ${document.documentElement.scrollWidth} px`);
  return [...new Set(faults)];
}
