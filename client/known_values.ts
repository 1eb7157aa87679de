import type { KnownValues } from "../config/complete.ts";
import { loadConfig } from "../config/load.ts";
import { listRecords } from "./job_records.ts";

/** What this machine knows of values on the client's command line: jobs that it has submitted, and backends. */
export const KNOWN_VALUES: KnownValues = {
  job: async () => (await listRecords()).map(({ id }) => id),
  backend: backends,
  path: () => backends().map((name) => `${name}/`),
  "--storage-backend": backends,
  "--required-storage": backends,
  "--storage": backends,
};

/** Names of the configuration that counts here. Throws `ConfigError`. */
function backends(): string[] {
  return loadConfig({}).storage.map(({ name }) => name);
}
