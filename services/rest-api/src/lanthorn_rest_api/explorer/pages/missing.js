/** What an address that no page belongs to shows. */
import { html } from '../html.js';
import { EmptyNotice } from '../components/notice.js';
import { PageHead } from '../components/page-head.js';

export function MissingPage() {
  return html`
    <${PageHead} title="No such page" />
    <${EmptyNotice} title="There is no page at this address">
      <p class="notice-actions"><a class="button button-primary" href="#/studies">To the studies</a></p>
    <//>
  `;
}
