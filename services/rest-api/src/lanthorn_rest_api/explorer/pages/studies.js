/** All studies, newest first: the page that opens first. */
import { html } from '../html.js';
import { mayChange, session } from '../session.js';
import { useStore } from '../store.js';
import { EmptyNotice } from '../components/notice.js';
import { PageHead } from '../components/page-head.js';
import { StudyList } from '../components/study-list.js';

/** @param {{route: import('../router.js').Route}} props */
export function StudiesPage({ route }) {
  const canUpload = mayChange(useStore(session));
  const empty = html`
    <${EmptyNotice} title="No studies yet">
      <p>Send images to this server by DICOM${canUpload && ', or drop files anywhere on this page'}.</p>
      ${canUpload && html`<p class="notice-actions"><a class="button button-primary" href="#/upload">Upload files</a></p>`}
    <//>
  `;
  return html`
    <${PageHead} title="Studies">
      <a class="button" href="#/search">Search</a>
      ${canUpload && html`<a class="button button-primary" href="#/upload">Upload</a>`}
    <//>
    <${StudyList} route=${route} empty=${empty} />
  `;
}
