import type { VehicleSort } from './queries';

export const SORTABLE = ['vin', 'make', 'model', 'year', 'last_seen_at'] as const;
export type SortColumn = (typeof SORTABLE)[number];

export function isVehicleSort(value: string | null): value is VehicleSort {
  return value !== null && (SORTABLE as readonly string[]).includes(value.replace(/^-/, ''));
}

export function sortedBy(sort: VehicleSort | undefined): { column: SortColumn; descending: boolean } {
  // As the server sorts when nothing else is asked.
  if (sort === undefined) return { column: 'vin', descending: false };
  return { column: sort.replace(/^-/, '') as SortColumn, descending: sort.startsWith('-') };
}

/** What a click on a column's heading asks for. */
export function nextSort(current: VehicleSort | undefined, column: SortColumn): VehicleSort {
  const { column: sorted, descending } = sortedBy(current);
  return sorted === column && !descending ? `-${column}` : column;
}
