"use strict";
// What the other scripts share.

const element = (id) => document.getElementById(id);

// Make an element: attributes by name, children as nodes or text.
const node = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

// Labels and kinds as people read them: US__breast__benign is shown as US › breast › benign.
const readable = (name) => name.replaceAll("__", " › ").replaceAll("_", " ");

const many = (count, name) => `${count.toLocaleString("en")} ${name}${count === 1 ? "" : "s"}`;

// Run a script file; a page opened from disk may not read data in any other way.
const loadScript = (source, then) => {
  const script = node("script", { src: source });
  script.addEventListener("load", then);
  document.body.append(script);
};
