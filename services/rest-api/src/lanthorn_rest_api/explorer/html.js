/**
 * Binds htm to Preact: the one place that knows which libraries draw the page.
 *
 * `html` escapes every value put into a template, so data can never become markup.
 */
import { h } from './vendor/preact.js';
import htm from './vendor/htm.js';

export const html = htm.bind(h);
export { Fragment, render } from './vendor/preact.js';
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from './vendor/hooks.js';
