import { MemoryStore } from "../../signaling/store.ts";
import { storeCases } from "./store_cases.ts";

storeCases("memory", (test) => test(new MemoryStore()));
