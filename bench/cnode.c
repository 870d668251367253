/* A C node on erl_interface that bench/calls.py compares with. It answers gen_server calls {echo, [Value]} with Value and
 * {size_of, [Binary]} with the binary's size, one connection, until standard input ends or the connection does.
 *
 *     cnode SHORT_NAME COOKIE
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <ei.h>

static void fail(const char *what)
{
    fprintf(stderr, "cnode: %s (erl_errno %d)\n", what, erl_errno);
    exit(1);
}

/* The value that {Function, [Argument]} asks for, appended to the answer. */
static void answer_request(const char *data, int index, ei_x_buff *answer)
{
    int arity, type, size;
    char function[MAXATOMLEN];
    if (ei_decode_tuple_header(data, &index, &arity) || arity != 2 || ei_decode_atom(data, &index, function) ||
        ei_decode_list_header(data, &index, &arity) || arity != 1)
        fail("the request is no {Function, [Argument]}");
    if (strcmp(function, "size_of") == 0) {
        if (ei_get_type(data, &index, &type, &size))
            fail("the argument has no size");
        ei_x_encode_long(answer, size);
        return;
    }
    int end = index;
    ei_skip_term(data, &end);
    ei_x_append_buf(answer, data + index, end - index);
}

/* {'$gen_call', {From, Tag}, Request} is answered {Tag, Value}. Tag is [alias | Reference]: it is copied as it is. */
static void answer_call(int connection, const char *data, ei_x_buff *answer)
{
    int index = 0, version, arity;
    char label[MAXATOMLEN];
    erlang_pid from;
    if (ei_decode_version(data, &index, &version) || ei_decode_tuple_header(data, &index, &arity) || arity != 3 ||
        ei_decode_atom(data, &index, label) || strcmp(label, "$gen_call") ||
        ei_decode_tuple_header(data, &index, &arity) || ei_decode_pid(data, &index, &from))
        return;
    int tag = index;
    ei_skip_term(data, &index);
    answer->index = 0;
    ei_x_encode_version(answer);
    ei_x_encode_tuple_header(answer, 2);
    ei_x_append_buf(answer, data + tag, index - tag);
    answer_request(data, index, answer);
    if (ei_send(connection, &from, answer->buff, answer->index) < 0)
        fail("the answer was not sent");
}

int main(int count, char **words)
{
    if (count != 3)
        fail("usage: cnode SHORT_NAME COOKIE");
    ei_init();
    char name[MAXNODELEN + 1];
    struct in_addr loopback = {.s_addr = htonl(INADDR_LOOPBACK)};
    snprintf(name, sizeof name, "%s@127.0.0.1", words[1]);
    ei_cnode self;
    if (ei_connect_xinit(&self, "127.0.0.1", words[1], name, &loopback, words[2], 1) < 0)
        fail("no node of its own");
    int port = 0, listener = ei_xlisten(&self, &loopback, &port, 5);
    if (listener < 0 || ei_publish(&self, port) < 0)
        fail("it cannot listen");
    puts(name);
    fflush(stdout);

    ErlConnect peer;
    int connection = ei_accept(&self, listener, &peer);
    if (connection < 0)
        fail("no connection");
    ei_x_buff message, answer;
    ei_x_new(&message);
    ei_x_new(&answer);
    for (;;) {
        erlang_msg header;
        message.index = 0;
        int got = ei_xreceive_msg(connection, &header, &message);
        if (got == ERL_ERROR)
            return 0;
        if (got == ERL_MSG)
            answer_call(connection, message.buff, &answer);
    }
}
