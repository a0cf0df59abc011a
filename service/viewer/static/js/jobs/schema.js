/** What a form needs to know of a field, read from the JSON schema of a workflow. */

/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {string} hint
 * @property {'number' | 'text' | 'boolean' | 'choice' | 'choices' | 'list' | 'numbers' | 'object'} kind
 * @property {any} fallback the default; undefined where one must be given
 * @property {boolean} nullable
 * @property {any} schema without null
 * @property {string[]} words that stand beside numbers, such as `auto`
 */

/**
 * Read a field.
 * @param {string} name
 * @param {any} schema
 * @param {any} root with its definitions
 * @returns {Field}
 */
export function readField(name, schema, root) {
  const all = (schema.anyOf ?? schema.oneOf ?? [schema]).map((/** @type {any} */ one) => resolve(one, root));
  const shapes = all.filter((/** @type {any} */ one) => one.type !== 'null');
  const words = shapes.filter((/** @type {any} */ one) => 'const' in one).map((/** @type {any} */ one) => String(one.const));
  const plain = shapes.filter((/** @type {any} */ one) => !('const' in one));
  const shape = plain[0] ?? { enum: words };
  return {
    name,
    label: labelOf(name),
    hint: (schema.description ?? '').replace(/\s*\n\s*/g, ' '),
    kind: plain.length > 1 ? 'object' : kindOf(shape),
    fallback: schema.default,
    nullable: shapes.length < all.length,
    schema: shape,
    words: plain.length ? words : [],
  };
}

/**
 * @param {any} schema
 * @param {any} root
 * @returns {any}
 */
function resolve(schema, root) {
  const name = schema.$ref?.match(/^#\/\$defs\/(.+)$/)?.[1];
  return name ? { ...root.$defs?.[name], ...schema } : schema;
}

/**
 * @param {any} schema
 * @returns {Field['kind']}
 */
function kindOf(schema) {
  if (schema.enum) return 'choice';
  if (schema.type === 'boolean') return 'boolean';
  if (schema.type === 'integer' || schema.type === 'number') return 'number';
  if (schema.type === 'string') return 'text';
  if (schema.type !== 'array') return 'object';
  if (schema.prefixItems) return schema.prefixItems.every((/** @type {any} */ one) => isNumber(one)) ? 'numbers' : 'object';
  const items = schema.items ?? {};
  if (items.enum) return 'choices';
  return isNumber(items) ? 'numbers' : items.type === 'string' ? 'list' : 'object';
}

/**
 * @param {any} schema
 * @returns {boolean}
 */
function isNumber(schema) {
  return schema.type === 'integer' || schema.type === 'number';
}

/**
 * @param {string} name
 * @returns {string} "patch_size" as "Patch size"
 */
export function labelOf(name) {
  const words = name.replaceAll('_', ' ').replace(/\bum2\b/, 'µm²').replace(/\bum\b/, 'µm').replace(/\bmpp\b/, 'MPP');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * Say the bounds of a number.
 * @param {any} schema
 * @returns {string}
 */
export function bounds(schema) {
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const high = schema.maximum ?? schema.exclusiveMaximum;
  const from = schema.minimum !== undefined ? `at least ${low}` : `above ${low}`;
  const to = schema.maximum !== undefined ? `at most ${high}` : `below ${high}`;
  return [low !== undefined && from, high !== undefined && to].filter(Boolean).join(', ');
}

/**
 * Read what was typed for a number, or one of the words that may stand for it.
 * @param {string} text
 * @param {Field} field
 * @returns {any}
 * @throws {Error} with a sentence
 */
export function readNumber(text, { schema, words }) {
  const word = text.trim();
  if (words.includes(word)) return word;
  const value = Number(word);
  const either = words.length ? ` or ${words.join(', ')}` : '';
  if (word === '' || !Number.isFinite(value)) throw new Error(`A number${either} is needed.`);
  if (schema.type === 'integer' && !Number.isInteger(value)) throw new Error(`A whole number${either} is needed.`);
  const outside = value < (schema.minimum ?? -Infinity) || value > (schema.maximum ?? Infinity)
    || value <= (schema.exclusiveMinimum ?? -Infinity) || value >= (schema.exclusiveMaximum ?? Infinity);
  if (outside) throw new Error(`It must be ${bounds(schema)}.`);
  return value;
}
