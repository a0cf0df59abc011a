/** Elements of a page. Text is always text: nothing here reads a string as HTML. */

const PROPERTIES = new Set(['value', 'checked', 'disabled', 'open', 'hidden', 'selected', 'indeterminate']);

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, any>} Attributes `on` holds listeners by name, `data` the dataset. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) put(element, name, value);
  element.append(...nodes(children));
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 * @param {any} value
 */
function put(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === 'on') {
    for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
  } else if (name === 'data') {
    Object.assign(element.dataset, value);
  } else if (PROPERTIES.has(name)) {
    /** @type {any} */ (element)[name] = value;
  } else {
    element.setAttribute(name, value === true ? '' : String(value));
  }
}

/**
 * @param {any[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return children
    .flat()
    .filter((one) => one !== null && one !== undefined && one !== false)
    .map((one) => (one instanceof Node ? one : String(one)));
}

/**
 * Replace what an element holds.
 * @template {Element} T
 * @param {T} element
 * @param {...(Child | Child[])} children
 * @returns {T}
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/**
 * Text in which words in backticks are code.
 * @param {string} text
 * @returns {Child[]}
 */
export function prose(text) {
  return text.split(/`([^`]+)`/).map((part, index) => (index % 2 ? h('code', {}, part) : part));
}

/**
 * Find an element that the page is known to have.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found;
}

/**
 * Say something to a screen reader, without moving the focus.
 * @param {string} sentence
 */
export function say(sentence) {
  byId('spoken').textContent = sentence;
}

/**
 * Call a function once a pause has come.
 * @template {any[]} A
 * @param {(...args: A) => void} act
 * @param {number} pause_ms
 * @returns {(...args: A) => void}
 */
export function calm(act, pause_ms) {
  let waiting = 0;
  return (...args) => {
    clearTimeout(waiting);
    waiting = window.setTimeout(() => act(...args), pause_ms);
  };
}
