/** One field of the form: its control, its default, and what was given. */

import { h, prose } from '../dom.js';
import { MAKERS } from './controls.js';
import { bounds } from './schema.js';

/** @typedef {import('./schema.js').Field} Field */

/**
 * @typedef {object} Control
 * @property {Field} field
 * @property {HTMLElement} element
 * @property {() => any} read what was given; undefined for the default. Throws a sentence.
 * @property {(sentence: string) => void} blame shows what is wrong, or that nothing is
 * @property {() => void} focus
 */

/**
 * Make the control of a field.
 * @param {Field} field
 * @param {{example?: any, list?: string}} more a value that shows what is meant, and the list of known names
 * @returns {Control}
 */
export function makeControl(field, more) {
  const id = `field-${field.name}`;
  const made = MAKERS[field.kind](field, id, more);
  const wrong = h('p', { class: 'wrong', id: `${id}-wrong`, 'aria-live': 'polite' });
  const hint = [field.hint, field.kind === 'number' && bounds(field.schema) && `Must be ${bounds(field.schema)}.`];
  const note = h('p', { class: 'hint', id: `${id}-hint` }, prose(hint.filter(Boolean).join('\n')));
  const input = made.input;
  input.setAttribute('aria-describedby', `${id}-hint ${id}-wrong`);
  const heading = made.group
    ? h('span', { class: 'label', id: `${id}-label` }, field.label)
    : h('label', { for: id }, field.label, needed(field));
  const label = field.kind === 'boolean' && !field.nullable ? null : heading;
  return {
    field,
    element: h('div', { class: 'field' }, label, made.element, wrong, note),
    read: () => given(made.read(), field),
    blame: (sentence) => {
      wrong.textContent = sentence;
      input.toggleAttribute('aria-invalid', Boolean(sentence));
      if (sentence) input.setAttribute('aria-invalid', 'true');
    },
    focus: () => input.focus(),
  };
}

/**
 * @param {Field} field
 * @returns {HTMLElement | null}
 */
function needed(field) {
  return field.fallback === undefined ? h('span', { class: 'soft' }, ' (needed)') : null;
}

/**
 * @param {any} value undefined where nothing was typed
 * @param {Field} field
 * @returns {any}
 */
function given(value, field) {
  if (value === undefined && field.fallback === undefined) throw new Error('This is needed.');
  return JSON.stringify(value) === JSON.stringify(field.fallback) ? undefined : value;
}
