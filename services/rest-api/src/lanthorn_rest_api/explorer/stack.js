/** The order of the instances of a series, and who is whose neighbour in it. */
import { findIdentifiers } from './api.js';
import { useResource } from './resource.js';

/** As numbers: as text, image 10 would come before image 2. */
export const INSTANCE_ORDER = [{ Type: 'DicomTagAsInt', Key: 'InstanceNumber', Direction: 'ASC' }];

/**
 * The place of an instance in its series; identifiers only, so a series of thousands stays small.
 * @param {string | undefined} series
 * @param {string} instance
 * @returns {{position: number, count: number, previous: string | undefined, next: string | undefined}} position from 1, 0 while unknown
 */
export function useStack(series, instance) {
  const { data: identifiers = [] } = useResource(
    series === undefined ? null : `stack of ${series}`,
    (signal) => findIdentifiers({ level: 'Instance', parent: { ParentSeries: series ?? '' }, orderBy: INSTANCE_ORDER }, signal),
  );
  const index = identifiers.indexOf(instance);
  return {
    position: index + 1,
    count: identifiers.length,
    previous: index > 0 ? identifiers[index - 1] : undefined,
    next: index >= 0 ? identifiers[index + 1] : undefined,
  };
}
