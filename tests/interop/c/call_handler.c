/* A C node: calls a handler of another node and prints its answer, as erl_interface's user's guide does it.
 *
 *     call_handler OWN_NAME COOKIE NODE MODULE FUNCTION NUMBER TEXT
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <ei.h>

static void fail(const char *what)
{
    fprintf(stderr, "call_handler: %s (erl_errno %d)\n", what, erl_errno);
    exit(1);
}

int main(int count, char **words)
{
    if (count != 8)
        fail("wrong number of arguments");
    ei_init();

    char name[MAXNODELEN + 1];
    struct in_addr loopback = {.s_addr = htonl(INADDR_LOOPBACK)};
    snprintf(name, sizeof name, "%s@127.0.0.1", words[1]);
    ei_cnode self;
    if (ei_connect_xinit(&self, "127.0.0.1", words[1], name, &loopback, words[2], 1) < 0)
        fail("no node of its own");
    int connection = ei_connect(&self, words[3]);
    if (connection < 0)
        fail("no connection");

    ei_x_buff arguments, answer;
    ei_x_new(&arguments);
    ei_x_new(&answer);
    ei_x_encode_list_header(&arguments, 2);
    ei_x_encode_longlong(&arguments, atoll(words[6]));
    ei_x_encode_string(&arguments, words[7]);
    ei_x_encode_empty_list(&arguments);
    if (ei_rpc(&self, connection, words[4], words[5], arguments.buff, arguments.index, &answer) < 0)
        fail("the call failed");

    char *text = NULL;
    int index = 0;
    if (ei_s_print_term(&text, answer.buff, &index) < 0)
        fail("the answer is no term");
    puts(text);
    free(text);
    ei_x_free(&arguments);
    ei_x_free(&answer);
    ei_close_connection(connection);
    return 0;
}
