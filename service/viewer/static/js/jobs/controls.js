/** Controls of a form by the kind of field: what is drawn, and how what was given is read. */

import { h } from '../dom.js';
import { readNumber } from './schema.js';

/** @typedef {import('./schema.js').Field} Field */
/** @typedef {{element: HTMLElement, input: any, read: () => any, group?: boolean}} Made */
/** @typedef {{example?: any, list?: string}} More */

/** @type {Record<Field['kind'], (field: Field, id: string, more: More) => Made>} */
export const MAKERS = { number, text, boolean, choice, choices, list, numbers, object };

/** @type {(value: any) => string} */
const shown = (value) => (value === null || value === undefined ? '' : String(value));

/** @type {(typeof MAKERS)['number']} */
function number(field, id, { example }) {
  const whole = field.schema.type === 'integer';
  const free = field.words.length > 0;
  const input = h('input', {
    id, type: free ? 'text' : 'number', value: shown(field.fallback), step: whole ? 1 : 'any',
    min: free ? null : field.schema.minimum, max: free ? null : field.schema.maximum,
    placeholder: field.nullable ? 'by default' : shown(example),
  });
  return { element: input, input, read: () => (input.value.trim() === '' && !input.validity.badInput ? undefined : readNumber(input.value, field)) };
}

/** @type {(typeof MAKERS)['text']} */
function text(field, id, { example, list: names }) {
  const input = h('input', { id, type: 'text', value: shown(field.fallback), list: names, spellcheck: 'false', autocomplete: 'off', placeholder: example === undefined ? null : `such as ${example}` });
  return { element: input, input, read: () => input.value.trim() || (field.nullable ? null : undefined) };
}

/** @type {(typeof MAKERS)['boolean']} */
function boolean(field, id) {
  if (field.nullable) return choice({ ...field, schema: { enum: [true, false] } }, id, {});
  const input = h('input', { id, type: 'checkbox', checked: field.fallback === true });
  return { element: h('label', { class: 'choice label' }, input, field.label), input, read: () => input.checked };
}

/** @type {(typeof MAKERS)['choice']} */
function choice(field, id) {
  const words = { true: 'yes', false: 'no' };
  const name = (/** @type {any} */ value) => /** @type {any} */ (words)[String(value)] ?? String(value);
  const option = (/** @type {any} */ value) => h('option', { value: JSON.stringify(value), selected: value === field.fallback }, typeof value === 'boolean' ? name(value) : String(value));
  const none = field.nullable || field.fallback === undefined;
  const input = h('select', { id }, none && h('option', { value: '' }, field.nullable ? 'by default' : 'choose'), field.schema.enum.map(option));
  if (none && (field.fallback ?? null) === null) input.value = '';
  return { element: input, input, read: () => (input.value === '' ? (field.nullable ? null : undefined) : JSON.parse(input.value)) };
}

/** @type {(typeof MAKERS)['choices']} */
function choices(field, id) {
  const chosen = new Set(field.fallback ?? []);
  const boxes = field.schema.items.enum.map((/** @type {string} */ value) => h('input', { type: 'checkbox', value, checked: chosen.has(value) }));
  const input = h('div', { id, class: 'row', role: 'group', tabindex: -1, 'aria-labelledby': `${id}-label` },
    boxes.map((/** @type {HTMLInputElement} */ box) => h('label', { class: 'choice' }, box, box.value)));
  const read = () => boxes.filter((/** @type {HTMLInputElement} */ box) => box.checked).map((/** @type {HTMLInputElement} */ box) => box.value);
  return { element: input, input, read, group: true };
}

/** @type {(typeof MAKERS)['list']} */
function list(field, id, { example, list: names }) {
  const input = h('textarea', { id, rows: 2, spellcheck: 'false', placeholder: example ? `one per line, such as ${[example].flat()[0]}` : 'one per line' }, (field.fallback ?? []).join('\n'));
  const picker = names && h('input', { type: 'text', list: names, 'aria-label': `Add to ${field.label}`, placeholder: 'add a known one', autocomplete: 'off' });
  picker?.addEventListener('change', () => {
    input.value = [...lines(input.value), picker.value.trim()].filter(Boolean).join('\n');
    picker.value = '';
  });
  const read = () => {
    const found = lines(input.value);
    return found.length || field.fallback !== undefined ? found : undefined;
  };
  return { element: h('div', { class: 'stack tight-stack' }, input, picker), input, read };
}

/**
 * @param {string} value
 * @returns {string[]}
 */
function lines(value) {
  return value.split('\n').map((one) => one.trim()).filter(Boolean);
}

/** @type {(typeof MAKERS)['numbers']} */
function numbers(field, id) {
  const input = h('input', { id, type: 'text', inputmode: 'decimal', value: (field.fallback ?? []).join(', '), placeholder: 'separated by commas' });
  const parts = field.schema.prefixItems;
  const read = () => {
    const words = input.value.split(',').map((/** @type {string} */ one) => one.trim()).filter(Boolean);
    if (!words.length) return field.fallback === undefined ? undefined : field.nullable ? null : [];
    if (parts && words.length !== parts.length) throw new Error(`${parts.length} numbers are needed, separated by commas.`);
    return words.map((/** @type {string} */ one, /** @type {number} */ index) => readNumber(one, { ...field, schema: parts?.[index] ?? field.schema.items ?? {}, words: [] }));
  };
  return { element: input, input, read };
}

/** @type {(typeof MAKERS)['object']} */
function object(field, id) {
  const value = field.fallback === undefined || field.fallback === null ? '' : JSON.stringify(field.fallback);
  const input = h('textarea', { id, rows: 2, class: 'mono', spellcheck: 'false', placeholder: 'JSON' }, value);
  const read = () => {
    if (input.value.trim() === '') return field.nullable ? null : undefined;
    try {
      return JSON.parse(input.value);
    } catch {
      throw new Error('This must be JSON.');
    }
  };
  return { element: input, input, read };
}
