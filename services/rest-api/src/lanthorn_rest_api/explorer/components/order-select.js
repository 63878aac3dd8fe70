/** Chooses the order of a list; the choice is part of the address, so that links keep it. */
import { html, useId } from '../html.js';
import { link, navigate } from '../router.js';

/**
 * @typedef {object} Order
 * @property {string} name in the address
 * @property {string} label
 * @property {[type: string, key: string, direction: string][]} by primary key first
 */

/**
 * The order that a route asks for; the first is the default.
 * @param {import('../router.js').Route} route
 * @param {Order[]} orders
 */
export function orderOf(route, orders) {
  const order = orders.find(({ name }) => name === route.query.get('order')) ?? orders[0];
  return { ...order, orderBy: order.by.map(([Type, Key, Direction]) => ({ Type, Key, Direction })) };
}

/** @param {{route: import('../router.js').Route, orders: Order[]}} props */
export function OrderSelect({ route, orders }) {
  const id = useId();
  /** @param {Event} event */
  const choose = (event) => {
    const query = new URLSearchParams(route.query);
    query.delete('since');
    query.set('order', /** @type {HTMLSelectElement} */ (event.currentTarget).value);
    navigate(link(route.path, query), { replace: true });
  };
  const chosen = orderOf(route, orders).name;
  return html`
    <div class="order">
      <label for=${id}>Order</label>
      <select id=${id} onChange=${choose}>
        ${orders.map(({ name, label }) => html`<option key=${name} value=${name} selected=${name === chosen}>${label}</option>`)}
      </select>
    </div>
  `;
}
