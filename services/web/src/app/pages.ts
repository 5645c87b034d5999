/** Each page is a chunk of its own, so that the log-in page loads nothing of the rest. */
import type { ComponentType } from 'react';

const page = (load: () => Promise<ComponentType>) => async () => ({ Component: await load() });

export const pages = {
  shell: page(async () => (await import('./Shell')).Shell),
  dashboard: page(async () => (await import('../features/dashboard/DashboardPage')).DashboardPage),
  vehicles: page(async () => (await import('../features/vehicles/VehiclesPage')).VehiclesPage),
  vehicle: page(async () => (await import('../features/vehicles/VehiclePage')).VehiclePage),
  newCommand: page(async () => (await import('../features/new-command/NewCommandPage')).NewCommandPage),
  command: page(async () => (await import('../features/command/CommandPage')).CommandPage),
  history: page(async () => (await import('../features/history/HistoryPage')).HistoryPage),
  audit: page(async () => (await import('../features/audit/AuditPage')).AuditPage),
  users: page(async () => (await import('../features/users/UsersPage')).UsersPage),
  profile: page(async () => (await import('../features/profile/ProfilePage')).ProfilePage),
};
