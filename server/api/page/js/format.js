/** Numbers, times, sizes and amounts as a person would say them. */

/** @import { Money } from "./types.js" */

/** @import { Recipe } from "./types.js" */

const plain = new Intl.NumberFormat("en");
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const parts = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long" });
const dated = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric" });

/** @param {number} value */
export const number = (value) => parts.format(value);

/** What drew it: the device here, or the service's own name of its model. @param {Recipe} recipe */
export const drawer = (recipe) => recipe.remote?.model ?? recipe.engine?.device ?? "";

/** @param {number} value a seed, in groups of three with thin gaps so that it can be read out */
export const seed = (value) => plain.format(value).replaceAll(",", " ");

/** @param {number} value of one */
export const percent = (value) => `${Math.round(value * 100)} %`;

/**
 * A time that was measured: 5.8 s, 42 s, 3 min.
 * @param {number} seconds
 */
export function took(seconds) {
  if (seconds < 10) return `${tenths.format(Math.max(seconds, 0.1))} s`;
  return roughly(seconds);
}

/**
 * A time that is an estimate, rounded as a person would: 3 s, 6 minutes, 2 hours.
 * @param {number} seconds
 */
export function roughly(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes`;
  return `${tenths.format(seconds / 3600)} hours`;
}

/**
 * An amount, with as many decimals as it takes to see something: $12.40, $0.036, $0.000054.
 * @param {Money} amount
 */
export function money({ micros, currency }) {
  const value = micros / 1e6;
  const small = value > 0 && value < 1;
  const decimals = small ? Math.min(6, 1 - Math.floor(Math.log10(value))) : 2;
  return new Intl.NumberFormat("en", {
    style: "currency",
    currency,
    minimumFractionDigits: 2,
    maximumFractionDigits: Math.max(2, decimals),
  }).format(value);
}

/** @param {number} count */
export function bytes(count) {
  if (count < 1000) return `${count} B`;
  if (count < 1e6) return `${Math.round(count / 1e3)} kB`;
  return count < 1e9 ? `${tenths.format(count / 1e6)} MB` : `${tenths.format(count / 1e9)} GB`;
}

/** @param {string} iso */
export const time = (iso) => clock.format(new Date(iso));

/**
 * The day a picture belongs to: a key that is equal on the same day, and what to call it.
 * @param {string} iso
 * @param {{today: string, yesterday: string}} words
 */
export function day(iso, words) {
  const date = new Date(iso);
  const now = new Date();
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  const start = new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const ago = Math.round((midnight - start) / 86_400_000);
  if (ago <= 0) return { key: start, name: words.today };
  if (ago === 1) return { key: start, name: words.yesterday };
  return { key: start, name: (ago < 300 ? weekday : dated).format(date) };
}
