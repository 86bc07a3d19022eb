/** The C functions of native/logfiles/ffi.c, linked once for each thread. */
import { FFIType } from "bun:ffi";
import { link } from "../library.ts";
import { storeSymbols } from "../store.ts";

const symbols = {
  nx_ffi_buffer_new: storeSymbols.nx_ffi_buffer_new,
  nx_ffi_buffer_free: storeSymbols.nx_ffi_buffer_free,
  nx_ffi_logs_new: { args: ["ptr"], returns: "ptr" },
  nx_ffi_logs_free: { args: ["ptr"], returns: "void" },
  nx_ffi_logs_effects: { args: ["ptr"], returns: "ptr" },
  nx_ffi_logs_effects_taken: { args: ["ptr"], returns: "void" },
  nx_ffi_logs_channel: { args: ["ptr", "ptr", "u64", "bool"], returns: "ptr" },
  nx_ffi_logs_channel_count: { args: ["ptr"], returns: "u32" },
  nx_ffi_logs_channel_at: { args: ["ptr", "u32"], returns: "ptr" },
  nx_ffi_logs_put: { args: ["ptr", "ptr", "u64", "ptr", "u64"], returns: "void" },
  nx_ffi_logs_remove: { args: ["ptr", "ptr"], returns: "void" },
  nx_ffi_logs_read: { args: ["ptr", "ptr"], returns: "void" },
  nx_ffi_logs_memtable_bytes: { args: ["ptr"], returns: FFIType.u64_fast },
  nx_ffi_logs_replay: { args: ["ptr", "ptr", "u64"], returns: FFIType.i64_fast },
  nx_ffi_channel_read: { args: ["ptr", "ptr"], returns: "void" },
  nx_ffi_channel_name: { args: ["ptr", "ptr"], returns: "u32" },
  nx_ffi_channel_sealed: { args: ["ptr", "ptr", "f64", "f64", "u64"], returns: "void" },
  nx_ffi_channel_memtable: { args: ["ptr"], returns: "ptr" },
  nx_ffi_channel_freeze: { args: ["ptr", "ptr"], returns: "ptr" },
  nx_ffi_logs_take_orphan: { args: ["ptr"], returns: "ptr" },
  nx_ffi_memtable_free: { args: ["ptr"], returns: "void" },
  nx_ffi_memtable_read: { args: ["ptr", "ptr", "ptr"], returns: "void" },
  nx_ffi_memtable_export: {
    args: ["ptr", "ptr", "u64", "u64", "u64", "ptr"],
    returns: FFIType.u64_fast,
  },
  nx_ffi_memtable_reader_new: { args: ["ptr", "u64", "u64", "u64", "u64"], returns: "ptr" },
  nx_ffi_memtable_reader_next: { args: ["ptr", "u64", "ptr"], returns: FFIType.u64_fast },
  nx_ffi_memtable_reader_free: { args: ["ptr"], returns: "void" },
  nx_ffi_page_new: { args: [], returns: "ptr" },
  nx_ffi_page_free: { args: ["ptr"], returns: "void" },
  nx_ffi_page_load: { args: ["ptr", "ptr", "u64", "ptr"], returns: FFIType.i64_fast },
  nx_ffi_page_bucket: { args: ["ptr"], returns: FFIType.i64_fast },
  nx_ffi_page_to_bucket: { args: ["ptr", "u64", "u64", "ptr", "ptr"], returns: FFIType.u64_fast },
  nx_ffi_builder_new: { args: [], returns: "ptr" },
  nx_ffi_builder_free: { args: ["ptr"], returns: "void" },
  nx_ffi_builder_finish: { args: ["ptr", "ptr"], returns: FFIType.u64_fast },
  nx_ffi_bucket_read: { args: ["ptr", "ptr", "u64", "bool", "u64", "ptr"], returns: FFIType.u64_fast },
  nx_ffi_bucket_header: { args: ["ptr"], returns: "void" },
  nx_ffi_matcher_new: { args: ["u32", "ptr", "u64", "ptr"], returns: "ptr" },
  nx_ffi_matcher_free: { args: ["ptr"], returns: "void" },
  nx_ffi_output_new: { args: ["u32", "u64"], returns: "ptr" },
  nx_ffi_output_free: { args: ["ptr"], returns: "void" },
  nx_ffi_output_buffer: { args: ["ptr"], returns: "ptr" },
  nx_ffi_output_finish: { args: ["ptr", "bool"], returns: "void" },
  nx_ffi_output_is_full: { args: ["ptr"], returns: "bool" },
  nx_ffi_output_read: { args: ["ptr", "ptr"], returns: "void" },
  nx_ffi_scan_step: { args: ["ptr", "u64", "u64", "u64", "ptr", "ptr"], returns: "u32" },
} as const;

let linked: ReturnType<typeof link<typeof symbols>> | undefined;

export function logfilesLibrary() {
  linked ??= link(symbols);
  return linked;
}
