/** Shared access policies: what their keys allow (contract 8). */

/** Flags; writing the registry includes reading it. */
export const RIGHTS = { RegistryRead: 1, RegistryWrite: 3, ServiceConnect: 4, DeviceConnect: 8 } as const;

export type Right = keyof typeof RIGHTS;

/** The policies that every hub has from its creation on. */
export const DEFAULT_POLICIES: Readonly<Record<string, number>> = {
  iothubowner: RIGHTS.RegistryWrite | RIGHTS.ServiceConnect | RIGHTS.DeviceConnect,
  service: RIGHTS.ServiceConnect,
  device: RIGHTS.DeviceConnect,
  registryRead: RIGHTS.RegistryRead,
  registryReadWrite: RIGHTS.RegistryWrite,
};

export function hasRight(rights: number, right: Right): boolean {
  return (rights & RIGHTS[right]) === RIGHTS[right];
}
