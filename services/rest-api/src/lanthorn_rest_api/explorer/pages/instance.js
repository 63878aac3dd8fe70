/** One instance: its picture with window and frame controls, and all its tags. */
import { fileAddress, getMetadata, getResource, getTags, pdfAddress } from '../api.js';
import { bytes, moment, patientTitle } from '../format.js';
import { html, useMemo, useRef, useState } from '../html.js';
import { useResource } from '../resource.js';
import { link, navigate } from '../router.js';
import { useStack } from '../stack.js';
import { pixelFacts } from '../window-range.js';
import { DeleteButton } from '../components/delete-button.js';
import { DownloadLink } from '../components/download-link.js';
import { Facts } from '../components/facts.js';
import { Icon } from '../components/icons.js';
import { EmptyNotice, ErrorNotice } from '../components/notice.js';
import { PageHead } from '../components/page-head.js';
import { Skeleton } from '../components/skeleton.js';
import { TagTree } from '../components/tag-tree.js';
import { Viewer } from '../components/viewer.js';

/** @typedef {import('../api.js').TagNode} TagNode */

/** @param {Record<string, TagNode> | undefined} tags @param {string} tag */
const valueOf = (tags, tag) => {
  const value = tags?.[tag]?.Value;
  return typeof value === 'string' ? value.trim() : '';
};

/** @param {{id: string}} props */
export function InstancePage({ id }) {
  const instance = useResource(`instances/${id}`, (signal) => getResource('instances', id, signal), { keepPrevious: true });
  const tags = useResource(`instances/${id}/tags`, (signal) => getTags(id, signal), { keepPrevious: true });
  const metadata = useResource(`instances/${id}/metadata`, (signal) => getMetadata('instances', id, signal), { keepPrevious: true });
  const seriesId = instance.data?.ParentSeries;
  const series = useResource(seriesId ? `series/${seriesId}` : null, (signal) => getResource('series', seriesId ?? '', signal));
  const stack = useStack(seriesId, id);
  const error = instance.error ?? tags.error;
  if (error) {
    const retry = () => {
      instance.reload();
      tags.reload();
    };
    return html`
      <${PageHead} title="Instance" trail=${[['Studies', '#/studies']]} />
      <${ErrorNotice} error=${error} onRetry=${retry} />
    `;
  }
  const number = valueOf(tags.data, '0020,0013');
  const patient = patientTitle({ PatientName: valueOf(tags.data, '0010,0010'), PatientID: valueOf(tags.data, '0010,0020') });
  const title = number ? `Instance ${number}` : 'Instance';
  /** @type {[string, string][]} */
  const trail = [['Studies', '#/studies']];
  if (series.data?.ParentStudy) trail.push([valueOf(tags.data, '0008,1030') || 'Study', link(['studies', series.data.ParentStudy])]);
  if (seriesId) trail.push([series.data?.MainDicomTags.SeriesDescription?.trim() || 'Series', link(['series', seriesId])]);
  const isPdf = valueOf(tags.data, '0042,0012') === 'application/pdf';

  /** @param {1 | -1} step */
  const goTo = (step) => {
    const neighbour = step > 0 ? stack.next : stack.previous;
    if (neighbour) navigate(link(['instances', neighbour]), { replace: true });
  };
  return html`
    <${PageHead} title=${title} trail=${trail} subtitle=${tags.data ? patient : ''}>
      <${Neighbours} stack=${stack} />
      ${isPdf && html`<a class="button" href=${pdfAddress(id)} target="_blank" rel="noopener"><${Icon} name="document" />Open PDF</a>`}
      <${DownloadLink} href=${fileAddress(id)} label="Download file" name=${`${id}.dcm`} />
      <${DeleteButton} level="instances" id=${id} noun="instance" name=${`${title}, ${patient}`}
        extent="This one file will be deleted." ready=${tags.data !== undefined} />
    <//>
    <div class="instance">
      <div class="instance-picture">
        ${tags.data
          ? html`<${Picture} id=${id} tags=${tags.data} stale=${tags.stale} series=${seriesId ?? ''} title=${title} onStep=${goTo} />`
          : html`<div class="viewer"><div class="screen"></div><div class="controls"></div></div>`}
      </div>
      <div class="instance-side panel">
        <h2>Tags</h2>
        ${tags.data ? html`<${TagTree} tags=${tags.data} />` : html`<${Skeleton} rows=${10} />`}
      </div>
      <div class="instance-file panel">
        <${Facts} labels=${instance.data?.Labels} facts=${[
          ['Size', instance.data?.FileSize === undefined ? '' : bytes(instance.data.FileSize)],
          ['Received', moment(metadata.data?.ReceptionDate)],
          ['Received by', metadata.data?.Origin],
          ['From', metadata.data?.RemoteAET || metadata.data?.RemoteIP],
          ['Transfer syntax', metadata.data?.TransferSyntax],
          ['SOP class', valueOf(tags.data, '0008,0016')],
        ]} />
      </div>
    </div>
  `;
}

/** Windows chosen by the reader hold for the whole series. @type {Map<string, import('../window-range.js').Voi | null>} */
const chosenWindows = new Map();

/**
 * @param {object} props
 * @param {string} props.id
 * @param {Record<string, TagNode>} props.tags
 * @param {boolean} props.stale whether the tags are those of the instance before
 * @param {string} props.series
 * @param {string} props.title
 * @param {(step: 1 | -1) => void} props.onStep
 */
function Picture({ id, tags, stale, series, title, onStep }) {
  const facts = useMemo(() => pixelFacts(tags), [tags]);
  const [, redraw] = useState(0);
  /** The identifier that the tags belong to: a picture is asked for only when its tags are known. */
  const settled = useRef(id);
  if (!stale) settled.current = id;
  if (!facts.pictured) {
    return html`
      <div class="viewer">
        <div class="screen"><${EmptyNotice} title="No picture"><p>This instance holds no image: read its tags instead.</p><//></div>
      </div>
    `;
  }
  return html`
    <${Viewer} instance=${settled.current} facts=${facts} voi=${chosenWindows.get(series) ?? null} label=${`${title}, picture`}
      onStep=${onStep}
      onVoi=${(/** @type {import('../window-range.js').Voi | null} */ voi) => {
        chosenWindows.set(series, voi);
        redraw((count) => count + 1);
      }} />
  `;
}

/** @param {{stack: ReturnType<typeof useStack>}} props */
function Neighbours({ stack }) {
  /** @param {string | undefined} id */
  const to = (id) => (id ? link(['instances', id]) : null);
  return html`
    <nav class="neighbours" aria-label="Instances of the series">
      <a class="button button-icon" href=${to(stack.previous)} role="link" aria-disabled=${stack.previous ? null : 'true'}
        aria-label="Previous instance" title="Previous instance"><${Icon} name="back" /></a>
      <span class="neighbours-place">${stack.position > 0 ? `${stack.position} of ${stack.count}` : '\u00a0'}</span>
      <a class="button button-icon" href=${to(stack.next)} role="link" aria-disabled=${stack.next ? null : 'true'}
        aria-label="Next instance" title="Next instance"><${Icon} name="forward" /></a>
    </nav>
  `;
}
