/* Starts a program, and does to it what Windows does to the programs of a console window:
 *
 *   console.exe PROGRAM ARGUMENT...
 *
 * A file in the working directory says what, as soon as it is there: `c` and `break` are Ctrl-C and Ctrl-Break; `close`,
 * `logoff` and `shutdown` tell the program so and end it when its handler returns, or 5 seconds later. Windows calls the handlers by a
 * thread that it starts in the program, at a function that is at the same place in every program. What this prints nobody
 * but the program does, and its status is the program's.
 * https://learn.microsoft.com/en-us/windows/console/handlerroutine
 */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#define TIME_LEFT 5000

static const struct {
    const char *name;
    DWORD event;
} events[] = {
    {"c", CTRL_C_EVENT},           {"break", CTRL_BREAK_EVENT},     {"close", CTRL_CLOSE_EVENT},
    {"logoff", CTRL_LOGOFF_EVENT}, {"shutdown", CTRL_SHUTDOWN_EVENT},
};

static void die(const char *what) {
    fprintf(stderr, "console.exe: %s: error %lu\n", what, GetLastError());
    exit(99);
}

/* What stands behind this program's name, just as it was given. */
static char *rest_of_line(void) {
    char *at = GetCommandLineA();
    int quoted = 0;
    for (; *at && (quoted || *at != ' '); at++) quoted ^= *at == '"';
    while (*at == ' ') at++;
    return at;
}

static int wanted(void) {
    for (int i = 0; i < (int)(sizeof events / sizeof *events); i++) {
        if (DeleteFileA(events[i].name)) return i;
    }
    return -1;
}

int main(void) {
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION program;
    DWORD status;

    if (!CreateProcessA(NULL, rest_of_line(), NULL, NULL, TRUE, 0, NULL, NULL, &startup, &program)) die("CreateProcess");
    while (WaitForSingleObject(program.hProcess, 20) == WAIT_TIMEOUT) {
        int i = wanted();
        if (i < 0) continue;
        FARPROC routine = GetProcAddress(GetModuleHandleA("kernelbase"), "CtrlRoutine");
        if (!routine) die("CtrlRoutine");
        HANDLE thread = CreateRemoteThread(program.hProcess, NULL, 0, (LPTHREAD_START_ROUTINE)(void *)routine,
                                           (void *)(UINT_PTR)events[i].event, 0, NULL);
        if (!thread) die("CreateRemoteThread");
        if (events[i].event < CTRL_CLOSE_EVENT) continue;
        HANDLE ends[] = {thread, program.hProcess};
        WaitForMultipleObjects(2, ends, FALSE, TIME_LEFT);
        TerminateProcess(program.hProcess, 0xC000013A);
    }
    GetExitCodeProcess(program.hProcess, &status);
    ExitProcess(status);
}
