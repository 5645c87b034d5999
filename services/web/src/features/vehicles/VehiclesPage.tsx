import Card from '@mui/material/Card';
import Stack from '@mui/material/Stack';
import { useQuery } from '@tanstack/react-query';
import { useCallback } from 'react';
import { Choice } from '../../components/Choice';
import { PageHeader } from '../../components/PageHeader';
import { Pager } from '../../components/Pager';
import { SearchField } from '../../components/SearchField';
import { EmptyState, Loaded } from '../../components/states';
import { useCursorPages } from '../../components/useCursorPages';
import { useFilters } from '../../components/useFilters';
import { vehiclesQuery, type VehicleQuery, type VehicleSort } from './queries';
import { isVehicleSort } from './sorting';
import { VehicleTable } from './VehicleTable';

const STATUSES = [
  ['online', 'Online'],
  ['offline', 'Offline'],
] as const;

export function VehiclesPage() {
  const [filters, change] = useFilters();
  const pages = useCursorPages(filters.toString());
  const query = toQuery(filters);
  const vehicles = useQuery(vehiclesQuery({ ...query, cursor: pages.cursor }));
  const search = useCallback((text: string) => change({ search: text }), [change]);
  return (
    <>
      <PageHeader title="Vehicles" />
      <Stack direction="row" role="search" sx={{ gap: 2, mb: 2, flexWrap: 'wrap' }}>
        <SearchField label="VIN, make or model" value={filters.get('search') ?? ''} onChange={search} />
        <Choice
          label="Connection"
          any="Any"
          value={query.status ?? ''}
          options={STATUSES}
          onChange={(status) => change({ status })}
        />
      </Stack>
      <Card aria-busy={vehicles.isPlaceholderData}>
        <Loaded query={vehicles} lines={8}>
          {({ items, next_cursor }) => (
            <>
              {items.length === 0 ? (
                <NoVehicles filtered={filters.size > 0} />
              ) : (
                <VehicleTable vehicles={items} sort={query.sort} onSort={(sort) => change({ sort })} />
              )}
              <Pager pages={pages} nextCursor={next_cursor} />
            </>
          )}
        </Loaded>
      </Card>
    </>
  );
}

function NoVehicles({ filtered }: { filtered: boolean }) {
  if (filtered)
    return <EmptyState title="No vehicle matches">Search for less, or for another connection state.</EmptyState>;
  return (
    <EmptyState title="No vehicles yet">An administrator adds them; simulated ones come with the demo data.</EmptyState>
  );
}

function toQuery(filters: URLSearchParams): VehicleQuery & { sort?: VehicleSort } {
  const status = filters.get('status');
  const sort = filters.get('sort');
  return {
    search: filters.get('search') ?? '',
    limit: 25,
    ...(status === 'online' || status === 'offline' ? { status } : {}),
    ...(isVehicleSort(sort) ? { sort } : {}),
  };
}
