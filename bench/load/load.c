/*
 * The load of the benchmark: requests over kept or fresh connections, every answer checked, in C so that it is never
 * what is measured. One thread, edge-triggered epoll. `bench/load/load.mjs` compiles and runs it.
 *
 *   load [options] --request FILE unix:PATH | HOST:PORT
 *
 *   --protocol fastcgi|http   default fastcgi
 *   --request FILE[*TIMES]    bytes of a request; several of these are sent one after the other and make one request
 *   --expect BYTES            length that the body of every answer must have; default: any
 *   --connections N           default 1
 *   --close                   a connection per request: the request must ask for that, and the application must close
 *   --multiplex M             requests at a time on each connection (FastCGI); ids in the request are replaced
 *   --idle K                  further connections that do nothing; --idle-used: each has had one request answered
 *   --rate R                  R requests a second whatever happens; latency counts from when a request was due
 *   --also FILE --every N     every Nth request is this one; its latencies are reported apart (--also-expect BYTES)
 *   --warm S --seconds S      warm-up and measuring window; default 0.3 and 2
 *   --warm-count N            the warm-up lasts for N answers at least
 *   --count N                 the window is N requests long, however long that takes
 *   --patience S              gives up when nothing was answered for so long; default 30
 *   --pid PID                 (repeatable) CPU time of the process and its descendants in the window is in the result
 *
 * Prints {"event":"begin"}, {"event":"end"} at the ends of the window and then the result, each a line of JSON. No
 * request is under way at either end, so that CPU time belongs to the requests counted.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PARTS = 16, MAX_IOV = 64, MAX_PIDS = 16, HEAD_BYTES = 4096, BUFFER_BYTES = 1 << 18 };
enum { BEGIN_REQUEST = 1, END_REQUEST = 3, STDOUT = 6, STDERR = 7 };
enum { SET_UP, WARM, WARM_DRAIN, MEASURE, DRAIN, DONE };
enum { H_HEAD, H_BODY, H_UNTIL_CLOSE, H_CHUNK_SIZE, H_CHUNK, H_CHUNK_END, H_TRAILER };

typedef struct { unsigned char *bytes; size_t length; long times; } Part;
typedef struct { Part parts[MAX_PARTS]; int count; long long expect; } Request;
/* Where in its queue of requests a connection is writing. */
typedef struct { int queued, part; long time; size_t offset; } Cursor;
typedef struct {
  char active, writing, in_head, kind;
  int head_length;
  long long body;
  double since; /* when it was sent or, with a rate, due */
  char head[HEAD_BYTES];
} Slot;
typedef struct {
  int fd, index, slot_count, used, answers, finishing;
  int ending; /* the application has closed, which a web server knows before it uses the connection again */
  char idle;
  /* records being read */
  unsigned char header[8], end[8];
  int have;
  size_t content, padding;
  /* HTTP being read */
  int state, line, closes;
  long long left;
  /* slots whose requests are being written: a ring of `multiplex` */
  int *queue, queue_at, queue_length;
  Cursor cursor;
  Slot *slots;
} Conn;
typedef struct { uint32_t *us; size_t count, room; } Latencies;

static struct {
  int is_http, connections, closes, multiplex, idle, idle_used, every;
  double rate, warm, seconds, patience;
  long long count, warm_count;
  int pids[MAX_PIDS], pid_count;
} opt = { .connections = 1, .multiplex = 1, .warm = 0.3, .seconds = 2, .patience = 30 };
static Request requests[2] = { { .expect = -1 }, { .expect = -1 } };
static Request *copies[2]; /* with the id of each slot, when multiplexing */
static struct sockaddr_storage address;
static socklen_t address_length;
static int is_tcp, epoll_fd, timer_fd, phase, outstanding;
static Conn *conns;
static int *ring, ring_at, ring_length; /* free slots, with a rate: the longest free is next */
static long long sent, answered, failed, reconnected, resent, idle_lost, warmed, in_a_row, kind_count;
static double window_begin, window_end, last_answer, rate_begin;
static long long rate_sent, unsent; /* unsent: due in the window, and no connection was free */
static Latencies latencies[2];
static char first_failure[256];
static unsigned char buffer[BUFFER_BYTES];

static void die(const char *format, ...) {
  va_list list;
  va_start(list, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, list);
  fputc('\n', stderr);
  exit(1);
}

static void *room(size_t bytes) {
  void *memory = calloc(1, bytes > 0 ? bytes : 1);
  if (memory == NULL) die("no memory");
  return memory;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

/* ---- CPU time of processes, from /proc ---- */

/* Nanoseconds of a thread: by the scheduler's own account where it keeps one, else in ticks. */
static double task_ns(int pid, const char *task) {
  char path[320], text[1024];
  snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, task);
  FILE *file = fopen(path, "r");
  unsigned long long ns = 0;
  if (file != NULL) {
    int got = fscanf(file, "%llu", &ns);
    fclose(file);
    if (got == 1 && ns > 0) return (double)ns;
  }
  snprintf(path, sizeof path, "/proc/%d/task/%s/stat", pid, task);
  file = fopen(path, "r");
  if (file == NULL) return 0;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = 0;
  char *fields = strrchr(text, ')');
  unsigned long long user = 0, system = 0;
  if (fields != NULL) sscanf(fields + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system);
  return (user + system) * 1e9 / sysconf(_SC_CLK_TCK);
}

static double process_ns(int pid) {
  char path[320];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *tasks = opendir(path);
  if (tasks == NULL) return 0;
  double ns = 0;
  for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
    if (task->d_name[0] == '.') continue;
    ns += task_ns(pid, task->d_name);
    snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, task->d_name);
    FILE *file = fopen(path, "r");
    if (file == NULL) continue;
    for (int child; fscanf(file, "%d", &child) == 1;) ns += process_ns(child);
    fclose(file);
  }
  closedir(tasks);
  return ns;
}

/* ---- requests ---- */

static void add_part(Request *request, const char *argument) {
  char path[4096];
  snprintf(path, sizeof path, "%s", argument);
  char *star = strrchr(path, '*');
  long times = 1;
  if (star != NULL) {
    *star = 0;
    times = atol(star + 1);
  }
  if (request->count == MAX_PARTS) die("more than %d parts of a request", MAX_PARTS);
  int fd = open(path, O_RDONLY);
  struct stat stat;
  if (fd < 0 || fstat(fd, &stat) < 0) die("%s: %s", path, strerror(errno));
  Part *part = &request->parts[request->count++];
  part->length = stat.st_size;
  part->times = times;
  part->bytes = room(part->length);
  for (size_t at = 0; at < part->length;) {
    ssize_t got = read(fd, part->bytes + at, part->length - at);
    if (got <= 0) die("%s: %s", path, strerror(errno));
    at += got;
  }
  close(fd);
  if (part->length == 0 || times < 1) die("%s: nothing to send", path);
}

/* The same request under another id. Records must not go over the ends of parts. */
static Request with_id(const Request *request, int id) {
  Request copy = *request;
  for (int index = 0; index < copy.count; index++) {
    Part *part = &copy.parts[index];
    unsigned char *bytes = room(part->length);
    memcpy(bytes, part->bytes, part->length);
    part->bytes = bytes;
    for (size_t at = 0; at + 8 <= part->length; at += 8 + (bytes[at + 4] << 8) + bytes[at + 5] + bytes[at + 6]) {
      bytes[at + 2] = id >> 8;
      bytes[at + 3] = id;
    }
  }
  return copy;
}

static const Request *request_of(const Slot *slot, const Conn *conn) {
  int kind = slot->kind;
  return opt.multiplex == 1 ? &requests[kind] : &copies[kind][slot - conn->slots];
}

/* ---- connections ---- */

static void flush(Conn *conn);
static void start(Conn *conn, Slot *slot, double since);
static void send_request(Conn *conn, Slot *slot);
static void freed(Conn *conn, Slot *slot);

static void open_conn(Conn *conn) {
  int fd = socket(is_tcp ? address.ss_family : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("no socket: %s", strerror(errno));
  /* Waits, where the queue of the listener is full. */
  while (connect(fd, (struct sockaddr *)&address, address_length) < 0) {
    if (errno != EINTR && errno != EAGAIN) die("cannot connect: %s", strerror(errno));
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  int one = 1;
  if (is_tcp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  conn->fd = fd;
  conn->have = 0;
  conn->content = conn->padding = 0;
  conn->state = H_HEAD;
  conn->closes = 0;
  conn->answers = conn->ending = conn->finishing = 0;
  conn->queue_length = 0;
  conn->cursor = (Cursor){ 0 };
  conn->used++;
  struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = conn };
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll: %s", strerror(errno));
}

static void close_conn(Conn *conn) {
  if (conn->fd >= 0) close(conn->fd);
  conn->fd = -1;
}

static void count_answer(Slot *slot, int is_good, const char *reason) {
  double at = now();
  last_answer = at;
  if (is_good) in_a_row = 0;
  else if (++in_a_row > 1000) die("gave up after 1000 failures: %s", reason);
  if (!is_good && first_failure[0] == 0) snprintf(first_failure, sizeof first_failure, "%s", reason);
  if (!is_good) failed++;
  else if (phase == WARM) warmed++;
  if (!is_good || (phase != MEASURE && phase != DRAIN)) return;
  answered++;
  Latencies *list = &latencies[(int)slot->kind];
  if (list->count == list->room) {
    list->room = list->room == 0 ? 1 << 16 : list->room * 2;
    list->us = realloc(list->us, list->room * sizeof *list->us);
    if (list->us == NULL) die("no memory");
  }
  double us = (at - slot->since) * 1e6;
  list->us[list->count++] = us > 4e9 ? 4000000000u : (uint32_t)us;
}

/* The connection is broken or was closed while requests were under way on it. */
static void lose(Conn *conn, const char *reason) {
  int was_kept = conn->answers > 0 && !opt.closes;
  close_conn(conn);
  if (conn->idle && !conn->slots[0].active) {
    idle_lost++;
    return;
  }
  for (int index = 0; index < conn->slot_count; index++) {
    Slot *slot = &conn->slots[index];
    if (!slot->active && !slot->writing) continue;
    if (slot->active && was_kept && slot->head_length == 0) {
      /* Closed while the next request was on its way: a web server asks again, on a new connection. */
      resent++;
      send_request(conn, slot);
      continue;
    }
    if (slot->active) count_answer(slot, 0, reason);
    slot->active = slot->writing = 0;
    freed(conn, slot);
  }
}

static int is_sending(void) {
  if (phase == WARM) return 1;
  if (phase != MEASURE) return 0;
  return opt.count == 0 || sent < opt.count;
}

static void freed(Conn *conn, Slot *slot) {
  outstanding--;
  if (conn->idle) return;
  if (opt.rate > 0) {
    ring[(ring_at + ring_length++) % (opt.connections * opt.multiplex)] =
        conn->index * opt.multiplex + (int)(slot - conn->slots);
  } else if (is_sending()) start(conn, slot, 0);
}

static void send_request(Conn *conn, Slot *slot) {
  if (conn->fd < 0) {
    if (conn->used > 0 && !opt.closes) reconnected++;
    open_conn(conn);
  }
  slot->active = slot->writing = slot->in_head = 1;
  slot->head_length = 0;
  slot->body = 0;
  conn->queue[(conn->queue_at + conn->queue_length++) % opt.multiplex] = slot - conn->slots;
  if (conn->queue_length == 1) flush(conn);
}

static void start(Conn *conn, Slot *slot, double since) {
  outstanding++;
  if (phase == MEASURE) sent++;
  slot->kind = opt.every > 0 && ++kind_count % opt.every == 0;
  slot->since = since > 0 ? since : now();
  send_request(conn, slot);
}

/* An answer is complete. */
static void finish(Conn *conn, Slot *slot, const char *wrong) {
  char text[128];
  long long expect = requests[(int)slot->kind].expect;
  if (wrong == NULL && expect >= 0 && slot->body != expect) {
    snprintf(text, sizeof text, "a body of %lld bytes instead of %lld", slot->body, expect);
    wrong = text;
  }
  count_answer(slot, wrong == NULL, wrong);
  slot->active = 0;
  conn->answers++;
  if (opt.closes) conn->finishing = 1; /* free when the application has closed */
  else if (conn->closes || (conn->ending && opt.multiplex == 1)) {
    close_conn(conn);
    slot->writing = 0;
    freed(conn, slot);
  } else if (!slot->writing) freed(conn, slot);
}

/* ---- writing ---- */

static void flush(Conn *conn) {
  while (conn->queue_length > 0) {
    struct iovec iov[MAX_IOV];
    int count = 0;
    Cursor at = conn->cursor;
    at.queued = 0;
    while (count < MAX_IOV && at.queued < conn->queue_length) {
      const Slot *slot = &conn->slots[conn->queue[(conn->queue_at + at.queued) % opt.multiplex]];
      const Request *request = request_of(slot, conn);
      const Part *part = &request->parts[at.part];
      iov[count++] = (struct iovec){ part->bytes + at.offset, part->length - at.offset };
      at.offset = 0;
      if (++at.time < part->times) continue;
      at.time = 0;
      if (++at.part < request->count) continue;
      at.part = 0;
      at.queued++;
    }
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = count };
    ssize_t wrote = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    if (wrote < 0) {
      if (errno == EINTR) continue;
      /* What was answered before it closed is still to be read: the end of reading decides. */
      return;
    }
    Cursor *cursor = &conn->cursor;
    for (size_t left = wrote; left > 0;) {
      Slot *slot = &conn->slots[conn->queue[conn->queue_at]];
      const Request *request = request_of(slot, conn);
      const Part *part = &request->parts[cursor->part];
      size_t rest = part->length - cursor->offset;
      if (left < rest) {
        cursor->offset += left;
        break;
      }
      left -= rest;
      cursor->offset = 0;
      if (++cursor->time < part->times) continue;
      cursor->time = 0;
      if (++cursor->part < request->count) continue;
      cursor->part = 0;
      conn->queue_at = (conn->queue_at + 1) % opt.multiplex;
      conn->queue_length--;
      slot->writing = 0;
      /* Answered before all of it was sent. */
      if (!slot->active && !opt.closes) freed(conn, slot);
    }
  }
}

/* ---- reading ---- */

/* Whether a header line of this name has a value that begins so. */
static int has_line(const char *head, int length, const char *name, const char *value) {
  size_t name_length = strlen(name), value_length = strlen(value);
  for (int at = 0; at < length;) {
    const char *line = head + at;
    const char *end = memchr(line, '\n', length - at);
    if (end == NULL) return 0;
    if ((size_t)(end - line) > name_length && strncasecmp(line, name, name_length) == 0 && line[name_length] == ':') {
      const char *from = line + name_length + 1;
      while (from < end && *from == ' ') from++;
      return (size_t)(end - from) >= value_length && strncasecmp(from, value, value_length) == 0;
    }
    at = end - head + 1;
  }
  return -1;
}

/* Adds bytes to the head. Returns how many of them belong to it; sets *done at its empty line. */
static size_t take_head(Slot *slot, const unsigned char *bytes, size_t length, int *done) {
  for (size_t at = 0; at < length; at++) {
    if (slot->head_length == HEAD_BYTES - 1) die("a response head longer than %d bytes", HEAD_BYTES);
    slot->head[slot->head_length++] = bytes[at];
    if (bytes[at] != '\n') continue;
    int n = slot->head_length;
    if ((n >= 2 && slot->head[n - 2] == '\n') || (n >= 3 && slot->head[n - 2] == '\r' && slot->head[n - 3] == '\n')) {
      *done = 1;
      return at + 1;
    }
  }
  return length;
}

static void on_stdout(Slot *slot, const unsigned char *bytes, size_t length) {
  if (slot->in_head) {
    int done = 0;
    size_t taken = take_head(slot, bytes, length, &done);
    if (done) slot->in_head = 0;
    length -= taken;
  }
  slot->body += length;
}

static void on_end(Conn *conn, Slot *slot, const unsigned char *end) {
  const char *wrong = NULL;
  char text[64];
  int app_status = end[0] << 24 | end[1] << 16 | end[2] << 8 | end[3];
  if (end[4] != 0 || app_status != 0) {
    snprintf(text, sizeof text, "END_REQUEST with status %d, %d", end[4], app_status);
    wrong = text;
  } else if (slot->in_head) wrong = "an answer without a head";
  else if (has_line(slot->head, slot->head_length, "Status", "200") == 0) wrong = "a status other than 200";
  finish(conn, slot, wrong);
}

/* Returns 0 when the connection is of no more use. */
static int take_fastcgi(Conn *conn, const unsigned char *bytes, size_t length) {
  while (length > 0) {
    if (conn->have < 8) {
      conn->header[conn->have++] = *bytes++;
      length--;
      if (conn->have < 8) continue;
      if (conn->header[0] != 1) {
        lose(conn, "something that is not FastCGI");
        return 0;
      }
      conn->content = conn->header[4] << 8 | conn->header[5];
      conn->padding = conn->header[6];
    }
    int type = conn->header[1], id = conn->header[2] << 8 | conn->header[3];
    Slot *slot = id >= 1 && id <= opt.multiplex && conn->slots[id - 1].active ? &conn->slots[id - 1] : NULL;
    if (slot == NULL && (type == STDOUT || type == END_REQUEST)) {
      lose(conn, "a record for a request that is not open");
      return 0;
    }
    if (conn->content > 0) {
      size_t size = length < conn->content ? length : conn->content;
      if (size == 0) return 1;
      if (type == STDOUT) on_stdout(slot, bytes, size);
      else if (type == END_REQUEST) {
        size_t at = 8 - conn->content;
        if (at < 8) memcpy(conn->end + at, bytes, size <= 8 - at ? size : 8 - at);
      } else if (type == STDERR && first_failure[0] == 0) {
        snprintf(first_failure, sizeof first_failure, "STDERR: %.*s", size < 200 ? (int)size : 200, bytes);
      }
      bytes += size;
      length -= size;
      conn->content -= size;
      if (conn->content > 0) return 1;
    }
    if (conn->padding > 0) {
      size_t size = length < conn->padding ? length : conn->padding;
      bytes += size;
      length -= size;
      conn->padding -= size;
      if (conn->padding > 0) return 1;
    }
    conn->have = 0;
    if (type == END_REQUEST) {
      on_end(conn, slot, conn->end);
      if (conn->fd < 0) return 0;
    }
  }
  return 1;
}

static int take_http(Conn *conn, const unsigned char *bytes, size_t length) {
  Slot *slot = &conn->slots[0];
  while (length > 0) {
    if (!slot->active) {
      lose(conn, "bytes that nobody asked for");
      return 0;
    }
    size_t size = 1;
    int is_over = 0;
    switch (conn->state) {
      case H_HEAD: {
        int done = 0;
        size = take_head(slot, bytes, length, &done);
        if (!done) break;
        const char *value;
        slot->head[slot->head_length] = 0;
        conn->closes = has_line(slot->head, slot->head_length, "Connection", "close") == 1;
        if (has_line(slot->head, slot->head_length, "Transfer-Encoding", "chunked") == 1) {
          conn->state = H_CHUNK_SIZE;
          conn->left = 0;
        } else if ((value = strcasestr(slot->head, "\ncontent-length:")) != NULL) {
          conn->left = atoll(value + 16);
          conn->state = H_BODY;
          is_over = conn->left == 0;
        } else conn->state = H_UNTIL_CLOSE;
        break;
      }
      case H_BODY:
        size = length < (unsigned long long)conn->left ? length : (size_t)conn->left;
        slot->body += size;
        conn->left -= size;
        is_over = conn->left == 0;
        break;
      case H_UNTIL_CLOSE:
        size = length;
        slot->body += size;
        break;
      case H_CHUNK_SIZE:
        if (*bytes == '\n') conn->state = conn->left == 0 ? H_TRAILER : H_CHUNK;
        else if (*bytes >= '0' && *bytes <= '9') conn->left = conn->left * 16 + *bytes - '0';
        else if ((*bytes | 32) >= 'a' && (*bytes | 32) <= 'f') conn->left = conn->left * 16 + (*bytes | 32) - 'a' + 10;
        conn->line = 0;
        break;
      case H_CHUNK:
        size = length < (unsigned long long)conn->left ? length : (size_t)conn->left;
        slot->body += size;
        conn->left -= size;
        if (conn->left == 0) conn->state = H_CHUNK_END;
        break;
      case H_CHUNK_END:
        if (*bytes == '\n') conn->state = H_CHUNK_SIZE;
        break;
      default: /* H_TRAILER: lines up to an empty one */
        if (*bytes == '\n') is_over = conn->line == 0;
        if (*bytes == '\n') conn->line = 0;
        else if (*bytes != '\r') conn->line++;
    }
    bytes += size;
    length -= size;
    if (!is_over) continue;
    conn->state = H_HEAD;
    finish(conn, slot, strncmp(slot->head, "HTTP/1.1 200", 12) == 0 ? NULL : "a status other than 200");
    if (conn->fd < 0) return 0;
  }
  return 1;
}

static void ended(Conn *conn) {
  Slot *slot = &conn->slots[0];
  if (opt.is_http && slot->active && conn->state == H_UNTIL_CLOSE) {
    conn->closes = 1;
    finish(conn, slot, strncmp(slot->head, "HTTP/1.1 200", 12) == 0 ? NULL : "a status other than 200");
  }
  if (conn->finishing) {
    close_conn(conn);
    slot->writing = 0;
    freed(conn, slot);
  } else if (conn->fd >= 0) lose(conn, "the connection was closed before the answer was complete");
}

static void on_event(Conn *conn, uint32_t events) {
  int fd = conn->fd;
  if (fd < 0) return;
  if ((events & EPOLLOUT) && conn->queue_length > 0) flush(conn);
  if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
  conn->ending = (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
  for (;;) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      if (conn->finishing) ended(conn);
      else lose(conn, strerror(errno));
      return;
    }
    if (got == 0) {
      ended(conn);
      return;
    }
    if (!(opt.is_http ? take_http(conn, buffer, got) : take_fastcgi(conn, buffer, got))) return;
    /* All there was, unless the end is behind it. */
    if ((size_t)got < sizeof buffer && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
  }
}

/* ---- the run ---- */

static void start_all(void) {
  for (int index = 0; index < opt.connections; index++) {
    for (int slot = 0; slot < opt.multiplex && is_sending(); slot++) start(&conns[index], &conns[index].slots[slot], 0);
  }
}

/* With a rate: sends what is due, and sets the timer for the next. */
static void pump(void) {
  if (opt.rate <= 0 || !is_sending()) return;
  double at = now();
  while (ring_length > 0 && is_sending()) {
    double due = rate_begin + rate_sent / opt.rate;
    if (due > at) break;
    int free_slot = ring[ring_at];
    ring_at = (ring_at + 1) % (opt.connections * opt.multiplex);
    ring_length--;
    rate_sent++;
    Conn *conn = &conns[free_slot / opt.multiplex];
    start(conn, &conn->slots[free_slot % opt.multiplex], due);
  }
  double wait = rate_begin + rate_sent / opt.rate - now();
  if (wait < 1e-6) wait = 1e-6;
  struct itimerspec spec = { .it_value = { (time_t)wait, (long)((wait - (time_t)wait) * 1e9) } };
  if (ring_length > 0) timerfd_settime(timer_fd, 0, &spec, NULL);
}

static void event(const char *name) {
  printf("{\"event\":\"%s\"}\n", name);
  fflush(stdout);
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static void print_latencies(Latencies *list) {
  qsort(list->us, list->count, sizeof *list->us, compare);
  size_t n = list->count;
  printf("\"p50\":%u,\"p90\":%u,\"p99\":%u,\"max\":%u", n ? list->us[n / 2] : 0, n ? list->us[n * 9 / 10] : 0,
      n ? list->us[n * 99 / 100] : 0, n ? list->us[n - 1] : 0);
}

static void print_text(const char *text) {
  putchar('"');
  for (; *text != 0; text++) {
    if (*text == '"' || *text == '\\') printf("\\%c", *text);
    else putchar((unsigned char)*text < 32 || (unsigned char)*text > 126 ? ' ' : *text);
  }
  putchar('"');
}

static void run(void) {
  double cpu[MAX_PIDS], phase_end = 0;
  struct epoll_event events[256];
  last_answer = now();
  phase = SET_UP;
  for (int index = opt.connections; index < opt.connections + opt.idle; index++) {
    if (opt.idle_used) start(&conns[index], &conns[index].slots[0], 0);
    else open_conn(&conns[index]);
  }
  for (;;) {
    double at = now();
    if (phase == SET_UP && outstanding == 0) {
      phase = WARM;
      phase_end = at + opt.warm;
      rate_begin = at;
      if ((opt.warm > 0 || opt.warm_count > 0) && opt.rate <= 0) start_all();
    }
    if (phase == WARM && at >= phase_end && warmed >= opt.warm_count) phase = WARM_DRAIN;
    if (phase == WARM_DRAIN && outstanding == 0) {
      for (int index = 0; index < opt.pid_count; index++) cpu[index] = process_ns(opt.pids[index]);
      event("begin");
      phase = MEASURE;
      window_begin = rate_begin = now();
      rate_sent = 0;
      phase_end = opt.count > 0 ? 1e300 : window_begin + opt.seconds;
      if (opt.rate <= 0) start_all();
    }
    if (phase == MEASURE && (now() >= phase_end || (opt.count > 0 && sent >= opt.count))) {
      phase = DRAIN;
      if (opt.rate > 0) unsent = (long long)((now() - rate_begin) * opt.rate) + 1 - rate_sent;
    }
    if (phase == DRAIN && outstanding == 0) break;
    pump();
    if (at - last_answer > opt.patience) {
      failed += outstanding;
      if (first_failure[0] == 0) snprintf(first_failure, sizeof first_failure, "no answer for %.0f s", opt.patience);
      break;
    }
    double left = phase_end - at;
    int timeout = phase != WARM && phase != MEASURE ? 100 : left > 0.1 ? 100 : left > 0.001 ? (int)(left * 1000) : 1;
    int count = epoll_wait(epoll_fd, events, 256, timeout);
    for (int index = 0; index < count; index++) {
      if (events[index].data.ptr == NULL) {
        uint64_t times;
        if (read(timer_fd, &times, sizeof times) < 0) continue;
      } else on_event(events[index].data.ptr, events[index].events);
    }
  }
  window_end = now();
  for (int index = 0; index < opt.pid_count; index++) cpu[index] = process_ns(opt.pids[index]) - cpu[index];
  event("end");
  printf("{\"answered\":%lld,\"failed\":%lld,\"seconds\":%.6f,", answered, failed, window_end - window_begin);
  print_latencies(&latencies[0]);
  printf(",\"cpuUs\":[");
  for (int index = 0; index < opt.pid_count; index++) printf("%s%.1f", index ? "," : "", cpu[index] / 1000);
  printf("],\"reconnected\":%lld,\"resent\":%lld,\"idleLost\":%lld,\"unsent\":%lld", reconnected, resent, idle_lost, unsent > 0 ? unsent : 0);
  if (opt.every > 0) {
    printf(",\"also\":{\"answered\":%zu,", latencies[1].count);
    print_latencies(&latencies[1]);
    putchar('}');
  }
  if (first_failure[0] != 0) {
    printf(",\"failure\":");
    print_text(first_failure);
  }
  printf("}\n");
}

static void set_address(const char *text) {
  if (strncmp(text, "unix:", 5) == 0) {
    struct sockaddr_un *local = (struct sockaddr_un *)&address;
    local->sun_family = AF_UNIX;
    if (strlen(text + 5) >= sizeof local->sun_path) die("%s: too long", text);
    strcpy(local->sun_path, text + 5);
    address_length = sizeof *local;
    return;
  }
  char host[256];
  snprintf(host, sizeof host, "%s", text);
  char *colon = strrchr(host, ':');
  if (colon == NULL) die("%s: neither unix:PATH nor HOST:PORT", text);
  *colon = 0;
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
  int error = getaddrinfo(host, colon + 1, &hints, &found);
  if (error != 0) die("%s: %s", text, gai_strerror(error));
  memcpy(&address, found->ai_addr, found->ai_addrlen);
  address_length = found->ai_addrlen;
  is_tcp = 1;
  freeaddrinfo(found);
}

int main(int count, char **arguments) {
  const char *target = NULL;
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlives the benchmark */
  for (int at = 1; at < count; at++) {
    const char *name = arguments[at];
    if (strncmp(name, "--", 2) != 0) {
      target = name;
      continue;
    }
    name += 2;
    if (strcmp(name, "close") == 0) {
      opt.closes = 1;
      continue;
    }
    if (strcmp(name, "idle-used") == 0) {
      opt.idle_used = 1;
      continue;
    }
    const char *value = ++at < count ? arguments[at] : NULL;
    if (value == NULL) die("--%s needs a value", name);
    if (strcmp(name, "protocol") == 0) opt.is_http = strcmp(value, "http") == 0;
    else if (strcmp(name, "request") == 0) add_part(&requests[0], value);
    else if (strcmp(name, "also") == 0) add_part(&requests[1], value);
    else if (strcmp(name, "expect") == 0) requests[0].expect = atoll(value);
    else if (strcmp(name, "also-expect") == 0) requests[1].expect = atoll(value);
    else if (strcmp(name, "every") == 0) opt.every = atoi(value);
    else if (strcmp(name, "connections") == 0) opt.connections = atoi(value);
    else if (strcmp(name, "multiplex") == 0) opt.multiplex = atoi(value);
    else if (strcmp(name, "idle") == 0) opt.idle = atoi(value);
    else if (strcmp(name, "rate") == 0) opt.rate = atof(value);
    else if (strcmp(name, "warm") == 0) opt.warm = atof(value);
    else if (strcmp(name, "seconds") == 0) opt.seconds = atof(value);
    else if (strcmp(name, "count") == 0) opt.count = atoll(value);
    else if (strcmp(name, "warm-count") == 0) opt.warm_count = atoll(value);
    else if (strcmp(name, "patience") == 0) opt.patience = atof(value);
    else if (strcmp(name, "pid") == 0 && opt.pid_count < MAX_PIDS) opt.pids[opt.pid_count++] = atoi(value);
    else die("--%s: no such option, or too many of them", name);
  }
  if (target == NULL) die("no address");
  if (requests[0].count == 0) die("no --request");
  if ((opt.every > 0) != (requests[1].count > 0)) die("--also and --every go together");
  if (opt.connections < 1 || opt.multiplex < 1 || opt.multiplex > 65535) die("--connections and --multiplex: at least 1");
  if (opt.multiplex > 1 && (opt.is_http || opt.closes)) die("--multiplex needs kept FastCGI connections");
  set_address(target);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  struct epoll_event timer = { .events = EPOLLIN, .data.ptr = NULL };
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &timer);
  for (int kind = 0; kind < 2 && opt.multiplex > 1; kind++) {
    copies[kind] = room(sizeof(Request) * opt.multiplex);
    for (int slot = 0; slot < opt.multiplex; slot++) copies[kind][slot] = with_id(&requests[kind], slot + 1);
  }
  int total = opt.connections + opt.idle;
  conns = room(sizeof(Conn) * total);
  for (int index = 0; index < total; index++) {
    Conn *conn = &conns[index];
    conn->fd = -1;
    conn->index = index;
    conn->idle = index >= opt.connections;
    conn->slot_count = conn->idle ? 1 : opt.multiplex;
    conn->slots = room(sizeof(Slot) * conn->slot_count);
    conn->queue = room(sizeof(int) * opt.multiplex);
  }
  ring = room(sizeof(int) * opt.connections * opt.multiplex);
  if (opt.rate > 0) {
    for (int slot = 0; slot < opt.connections * opt.multiplex; slot++) ring[ring_length++] = slot;
    /* One request of each connection after the other, not all of the first connection first. */
    for (int index = 0; index < ring_length; index++) {
      ring[index] = index % opt.connections * opt.multiplex + index / opt.connections;
    }
  }
  run();
  return failed > 0 ? 2 : 0;
}
