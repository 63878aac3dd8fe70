/** One series: its instances as a grid of pictures, page by page. */
import { archiveAddress, findResources, getResource } from '../api.js';
import { date, patientTitle, plural, time } from '../format.js';
import { html } from '../html.js';
import { useResource } from '../resource.js';
import { link } from '../router.js';
import { INSTANCE_ORDER } from '../stack.js';
import { DeleteButton } from '../components/delete-button.js';
import { DownloadLink } from '../components/download-link.js';
import { Facts, Labels } from '../components/facts.js';
import { EmptyNotice, ErrorNotice } from '../components/notice.js';
import { PageHead } from '../components/page-head.js';
import { Pager, sinceOf } from '../components/pager.js';
import { TileSkeleton } from '../components/skeleton.js';
import { Thumbnail } from '../components/thumbnail.js';

const PAGE_SIZE = 60;

/** @param {{route: import('../router.js').Route, id: string}} props */
export function SeriesPage({ route, id }) {
  const { data: series, error, reload } = useResource(`series/${id}`, (signal) => getResource('series', id, signal));
  const studyId = series?.ParentStudy;
  const study = useResource(studyId ? `studies/${studyId}` : null, (signal) => getResource('studies', studyId ?? '', signal));
  /** @type {[string, string][]} */
  const trail = [['Studies', '#/studies']];
  if (error) return html`<${PageHead} title="Series" trail=${trail} /><${ErrorNotice} error=${error} onRetry=${reload} />`;
  const tags = series?.MainDicomTags;
  const title = series ? tags?.SeriesDescription?.trim() || tags?.ProtocolName?.trim() || 'Series without description' : 'Series';
  if (studyId) trail.push([study.data?.MainDicomTags.StudyDescription?.trim() || 'Study', link(['studies', studyId])]);
  const total = series?.Instances?.length;
  const patient = study.data ? patientTitle(study.data.PatientMainDicomTags) : '';
  return html`
    <${PageHead} title=${title} trail=${trail} subtitle=${patient}>
      <${DownloadLink} href=${archiveAddress('series', id)} label="Download ZIP" />
      <${DeleteButton} level="series" id=${id} noun="series" name=${`${title}, ${patient}`} ready=${series !== undefined}
        extent=${`${plural(total ?? 0, 'instance')} will be deleted.`} />
    <//>
    <div class="panel">
      <${Facts} labels=${series?.Labels} facts=${[
        ['Modality', tags?.Modality],
        ['Number', tags?.SeriesNumber],
        ['Date', `${date(tags?.SeriesDate)} ${time(tags?.SeriesTime)}`],
        ['Body part', tags?.BodyPartExamined],
        ['Manufacturer', tags?.Manufacturer],
        ['Station', tags?.StationName],
      ]} />
    </div>
    <${InstanceGrid} route=${route} id=${id} total=${total} />
  `;
}

/** @param {{route: import('../router.js').Route, id: string, total: number | undefined}} props */
function InstanceGrid({ route, id, total }) {
  const since = sinceOf(route);
  const page = useResource(
    `series/${id}/instances ${since}`,
    (signal) => findResources({ level: 'Instance', parent: { ParentSeries: id }, since, limit: PAGE_SIZE + 1, orderBy: INSTANCE_ORDER }, signal),
    { keepPrevious: true },
  );
  if (page.error) return html`<${ErrorNotice} error=${page.error} onRetry=${page.reload} />`;
  if (page.data?.length === 0 && !page.stale) return html`<${EmptyNotice} title="No instances on this page" />`;
  const instances = page.data?.slice(0, PAGE_SIZE) ?? [];
  return html`
    <div class="list-bar list-bar-section">
      <h2 class="section">Instances</h2>
      <${Pager} route=${route} what="instances" since=${since} size=${PAGE_SIZE} shown=${page.stale ? 0 : instances.length}
        more=${!page.stale && (page.data?.length ?? 0) > PAGE_SIZE} total=${total} />
    </div>
    ${page.data === undefined
      ? html`<${TileSkeleton} tiles=${12} />`
      : html`
        <ul class=${page.stale ? 'tiles tiles-small is-stale' : 'tiles tiles-small'} aria-busy=${page.busy}>
          ${instances.map((instance, index) => html`
            <li key=${instance.ID}><${InstanceTile} instance=${instance} position=${since + index + 1} /></li>
          `)}
        </ul>
      `}
  `;
}

/** @param {{instance: import('../api.js').Resource, position: number}} props */
function InstanceTile({ instance, position }) {
  const tags = instance.MainDicomTags;
  const number = tags.InstanceNumber?.trim();
  const frames = Number(tags.NumberOfFrames);
  return html`
    <a class="tile" href=${link(['instances', instance.ID])}>
      <${Thumbnail} instance=${instance.ID} label="" />
      <span class="tile-text">
        <span class="tile-title">${number ? `Instance ${number}` : `Instance (${position})`}</span>
        ${frames > 1 && html`<span class="second">${plural(frames, 'frame')}</span>`}
        <${Labels} labels=${instance.Labels} />
      </span>
    </a>
  `;
}
