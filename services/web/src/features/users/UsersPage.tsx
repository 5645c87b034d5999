import Button from '@mui/material/Button';
import Card from '@mui/material/Card';
import Stack from '@mui/material/Stack';
import { useQuery } from '@tanstack/react-query';
import { useCallback, useState } from 'react';
import { Choice } from '../../components/Choice';
import { PageHeader } from '../../components/PageHeader';
import { Pager } from '../../components/Pager';
import { SearchField } from '../../components/SearchField';
import { EmptyState, Loaded } from '../../components/states';
import { useCursorPages } from '../../components/useCursorPages';
import { useFilters } from '../../components/useFilters';
import { NewUserDialog } from './NewUserDialog';
import { ROLES, usersQuery, type UserQuery } from './queries';
import { UserTable } from './UserTable';

const PAGE = 25;
const ACTIVITY = [
  ['true', 'Active'],
  ['false', 'Deactivated'],
] as const;

export function UsersPage() {
  const [search, change] = useFilters();
  const [creating, setCreating] = useState(false);
  const pages = useCursorPages(search.toString());
  const query = readQuery(search);
  const users = useQuery(usersQuery({ ...query, limit: PAGE, cursor: pages.cursor }));
  const changeSearch = useCallback((text: string) => change({ search: text }), [change]);
  return (
    <>
      <PageHeader
        title="Users"
        actions={
          <Button variant="contained" onClick={() => setCreating(true)}>
            New user
          </Button>
        }
      />
      <Stack direction="row" role="search" sx={{ gap: 2, mb: 2, flexWrap: 'wrap' }}>
        <SearchField label="Name or e-mail" value={search.get('search') ?? ''} onChange={changeSearch} />
        <Choice label="Role" any="Any" value={query.role ?? ''} options={ROLES} onChange={(role) => change({ role })} />
        <Choice
          label="State"
          any="Any"
          value={query.is_active == null ? '' : query.is_active ? 'true' : 'false'}
          options={ACTIVITY}
          onChange={(is_active) => change({ is_active })}
        />
      </Stack>
      <Card aria-busy={users.isPlaceholderData}>
        <Loaded query={users}>
          {({ items, next_cursor }) => (
            <>
              {items.length === 0 ? <EmptyState title="No user matches" /> : <UserTable users={items} />}
              <Pager pages={pages} nextCursor={next_cursor} />
            </>
          )}
        </Loaded>
      </Card>
      {creating && <NewUserDialog onClose={() => setCreating(false)} />}
    </>
  );
}

function readQuery(search: URLSearchParams): UserQuery {
  const role = ROLES.find(([name]) => name === search.get('role'))?.[0];
  const active = search.get('is_active');
  const text = search.get('search') ?? '';
  return {
    ...(text === '' ? {} : { search: text }),
    ...(role === undefined ? {} : { role }),
    ...(active === 'true' || active === 'false' ? { is_active: active === 'true' } : {}),
  };
}
