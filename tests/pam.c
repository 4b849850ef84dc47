/* Stands in for PAM in a MariaDB server of the tests, so that an account there logs in by a token in clear text without any file
   of the system: whoever sends the right one is let in. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

struct message { int style; const char *text; };
struct response { char *text; int code; };
struct conversation {
  int (*ask)(int, const struct message **, struct response **, void *);
  void *data;
};
struct handle { const struct conversation *conversation; const char *user; };

enum { SUCCESS = 0, DENIED = 7, HIDDEN = 1, USER = 2 };

int pam_start(const char *service, const char *user, const struct conversation *conversation, struct handle **handle)
{
  (void)service;
  *handle = malloc(sizeof **handle);
  (*handle)->conversation = conversation;
  (*handle)->user = user;
  return SUCCESS;
}

int pam_authenticate(struct handle *handle, int flags)
{
  (void)flags;
  struct message message = { HIDDEN, "Password: " };
  const struct message *messages[] = { &message };
  struct response *response = NULL;
  if (handle->conversation->ask(1, messages, &response, handle->conversation->data) != SUCCESS || !response)
    return DENIED;
  int is_right = response->text && strcmp(response->text, "the token") == 0;
  free(response->text);
  free(response);
  return is_right ? SUCCESS : DENIED;
}

int pam_acct_mgmt(struct handle *handle, int flags)
{
  (void)handle, (void)flags;
  return SUCCESS;
}

int pam_get_item(const struct handle *handle, int item, const void **value)
{
  *value = item == USER ? handle->user : NULL;
  return SUCCESS;
}

int pam_end(struct handle *handle, int status)
{
  (void)status;
  free(handle);
  return SUCCESS;
}
