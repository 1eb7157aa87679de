/** Flags of the worker that its `doctor` takes as well. */
export interface WorkerFlags {
  config?: string;
  roomId?: string;
  token?: string;
  sharedStorageRoot?: string;
  scratch?: string;
  relayOnly?: boolean;
  allowRead?: string[];
  allowWrite?: string[];
  verbose?: boolean;
  json?: boolean;
}
