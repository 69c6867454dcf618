/* A stand-in for libnvidia-ml.so.1 that says what a script says.
 *
 * The script is the file named by FAKE_NVML; it is read at every call, so that a test may change it
 * while a program runs. Its lines:
 *   device BUS_ID            the one GPU there is
 *   memory TOTAL USED        bytes
 *   compute PID BYTES NAME   a process; BYTES -1: the driver does not tell
 *   graphics PID BYTES NAME
 *   utilisation PERCENT
 *   temperature CELSIUS
 *   mig MODE
 *   error FUNCTION CODE      FUNCTION answers with this error
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

typedef struct {
  unsigned int pid;
  unsigned long long bytes;
  unsigned int gpu_instance;
  unsigned int compute_instance;
} Process;

typedef struct {
  unsigned long long total, free, used;
} Memory;

typedef struct {
  unsigned int gpu, memory;
} Utilisation;

typedef int (*Visit)(const char *line, void *data);

/* Calls `visit` for each line of the script until it answers 1; returns whether it did. */
static int each_line(Visit visit, void *data) {
  const char *path = getenv("FAKE_NVML");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[512];
  int found = 0;
  while (file && !found && fgets(line, sizeof line, file)) found = visit(line, data);
  if (file) fclose(file);
  return found;
}

typedef struct {
  const char *function;
  int code;
} Fault;

static int is_fault(const char *line, void *data) {
  Fault *fault = data;
  char name[128];
  int code;
  if (sscanf(line, "error %127s %d", name, &code) != 2 || strcmp(name, fault->function)) return 0;
  fault->code = code;
  return 1;
}

static int fault_of(const char *function) {
  Fault fault = {function, SUCCESS};
  each_line(is_fault, &fault);
  return fault.code;
}

#define FAIL_IF_TOLD()                \
  do {                                \
    int code = fault_of(__func__);    \
    if (code != SUCCESS) return code; \
  } while (0)

int nvmlInitWithFlags(unsigned int flags) {
  (void)flags;
  FAIL_IF_TOLD();
  return SUCCESS;
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) {
  return code == 15 ? "GPU is lost" : code == 9 ? "Driver Not Loaded" : "some error";
}

static int is_device(const char *line, void *data) {
  char bus[64];
  return sscanf(line, "device %63s", bus) == 1 && !strcmp(bus, data);
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **handle) {
  FAIL_IF_TOLD();
  if (!each_line(is_device, (void *)bus)) return NOT_FOUND;
  *handle = (void *)1;
  return SUCCESS;
}

static int is_memory(const char *line, void *data) {
  Memory *memory = data;
  if (sscanf(line, "memory %llu %llu", &memory->total, &memory->used) != 2) return 0;
  memory->free = memory->total - memory->used;
  return 1;
}

int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory) {
  (void)handle;
  FAIL_IF_TOLD();
  return each_line(is_memory, memory) ? SUCCESS : NOT_SUPPORTED;
}

typedef struct {
  const char *kind;
  Process *to;
  unsigned int room, count;
} Listing;

static int is_process(const char *line, void *data) {
  Listing *listing = data;
  char kind[16];
  unsigned int pid;
  long long bytes;
  if (sscanf(line, "%15s %u %lld", kind, &pid, &bytes) != 3 || strcmp(kind, listing->kind)) return 0;
  if (listing->count < listing->room) {
    listing->to[listing->count] = (Process){pid, (unsigned long long)bytes, 0, 0};
  }
  listing->count += 1;
  return 0;
}

static int list(const char *kind, unsigned int *count, Process *to) {
  Listing listing = {kind, to, to ? *count : 0, 0};
  each_line(is_process, &listing);
  int fits = listing.count <= listing.room;
  *count = listing.count;
  return fits ? SUCCESS : INSUFFICIENT_SIZE;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned int *count, Process *to) {
  (void)handle;
  FAIL_IF_TOLD();
  return list("compute", count, to);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned int *count, Process *to) {
  (void)handle;
  FAIL_IF_TOLD();
  return list("graphics", count, to);
}

typedef struct {
  unsigned int pid;
  char name[256];
} Named;

static int is_named(const char *line, void *data) {
  Named *named = data;
  unsigned int pid;
  return sscanf(line, "%*s %u %*d %255[^\n]", &pid, named->name) == 2 && pid == named->pid;
}

int nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length) {
  Named named = {pid, ""};
  FAIL_IF_TOLD();
  if (!each_line(is_named, &named)) return NOT_FOUND;
  snprintf(name, length, "%s", named.name);
  return SUCCESS;
}

static int is_utilisation(const char *line, void *data) {
  return sscanf(line, "utilisation %u", &((Utilisation *)data)->gpu) == 1;
}

int nvmlDeviceGetUtilizationRates(void *handle, Utilisation *rates) {
  (void)handle;
  FAIL_IF_TOLD();
  rates->memory = 0;
  return each_line(is_utilisation, rates) ? SUCCESS : NOT_SUPPORTED;
}

static int is_temperature(const char *line, void *data) {
  return sscanf(line, "temperature %u", (unsigned int *)data) == 1;
}

int nvmlDeviceGetTemperature(void *handle, unsigned int sensor, unsigned int *celsius) {
  (void)handle;
  (void)sensor;
  FAIL_IF_TOLD();
  return each_line(is_temperature, celsius) ? SUCCESS : NOT_SUPPORTED;
}

static int is_mig(const char *line, void *data) {
  return sscanf(line, "mig %u", (unsigned int *)data) == 1;
}

int nvmlDeviceGetMigMode(void *handle, unsigned int *now, unsigned int *pending) {
  (void)handle;
  *pending = 0;
  return each_line(is_mig, now) ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetName(void *handle, char *name, unsigned int length) {
  (void)handle;
  snprintf(name, length, "Pretend GPU");
  return SUCCESS;
}

int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned int length) {
  (void)handle;
  snprintf(uuid, length, "GPU-00000000-0000-0000-0000-000000000000");
  return SUCCESS;
}
