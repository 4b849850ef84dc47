/* Wine 8.0 lacks this library of Windows, of which Rust needs one function. It lies beside the program. */
#include <windows.h>

BOOLEAN WINAPI SystemFunction036(void *buffer, ULONG length); /* advapi32 */

__declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *buffer, SIZE_T length) {
    return SystemFunction036(buffer, (ULONG)length);
}
