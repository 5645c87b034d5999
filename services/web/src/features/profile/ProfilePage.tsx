import Stack from '@mui/material/Stack';
import { Facts } from '../../components/Facts';
import { PageHeader } from '../../components/PageHeader';
import { Section } from '../../components/Section';
import { useUser } from '../../session/useSession';
import { ChangePassword } from './ChangePassword';
import { LoginSessions } from './LoginSessions';

export function ProfilePage() {
  const user = useUser();
  return (
    <>
      <PageHeader title="Profile" />
      <Stack sx={{ gap: 2.5, maxWidth: 960 }}>
        <Section title="You">
          <Facts
            items={[
              ['Username', user.username],
              ['Name', user.full_name],
              ['E-mail', user.email],
              ['Role', user.role],
            ]}
          />
        </Section>
        <Section title="Password">
          <ChangePassword />
        </Section>
        <Section title="Sessions">
          <LoginSessions />
        </Section>
      </Stack>
    </>
  );
}
