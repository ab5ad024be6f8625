// The common paths on Go's net/http, the websocket by hand on a hijacked connection.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

var (
	port      = flag.Int("port", 0, "port to listen on")
	host      = flag.String("host", "127.0.0.1", "address to listen on")
	events    = flag.String("events", "", "file that gets a line for each start and each POST")
	delay     = flag.Float64("delay", 0, "seconds before the program listens")
	keepAlive = flag.Float64("keep-alive", 2, "seconds an idle connection is kept")
)

func record(line string) {
	if *events == "" {
		return
	}
	file, err := os.OpenFile(*events, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer file.Close()
	fmt.Fprintf(file, "%s\n", line)
}

func starts() int {
	text, err := os.ReadFile(*events)
	if err != nil {
		return 1
	}
	count := 0
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "start ") {
			count++
		}
	}
	return count
}

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

func number(r *http.Request, name string, fallback float64) float64 {
	if value, err := strconv.ParseFloat(r.URL.Query().Get(name), 64); err == nil {
		return value
	}
	return fallback
}

func echo(w http.ResponseWriter, r *http.Request) {
	if id := r.Header.Get("X-Post-Id"); id != "" {
		record("post " + id)
	}
	digest := sha256.New()
	length, err := io.Copy(digest, r.Body)
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"sha256": "%s", "length": %d}`, hex.EncodeToString(digest.Sum(nil)), length)
}

func ticks(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := 0; i < int(number(r, "n", 10)); i++ {
		fmt.Fprintf(w, "id: %d\ndata: %d\n\n", i, i)
		w.(http.Flusher).Flush()
		time.Sleep(seconds(number(r, "every", 0.1)))
	}
}

func readFrame(in *bufio.Reader) (byte, []byte, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, nil, err
	}
	length := int(head[1] & 0x7f)
	if length == 126 {
		wide := make([]byte, 2)
		if _, err := io.ReadFull(in, wide); err != nil {
			return 0, nil, err
		}
		length = int(binary.BigEndian.Uint16(wide))
	}
	data := make([]byte, 4+length)
	if _, err := io.ReadFull(in, data); err != nil {
		return 0, nil, err
	}
	mask, payload := data[:4], data[4:]
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, payload, nil
}

func websocket(instance string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		connection, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer connection.Close()
		fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"X-Instance: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n", instance, base64.StdEncoding.EncodeToString(sum[:]))
		for {
			opcode, data, err := readFrame(buffered.Reader)
			if err != nil {
				return
			}
			if opcode == 0x9 {
				opcode = 0xa
			}
			frame := []byte{0x80 | opcode, byte(len(data))}
			if len(data) > 125 {
				frame = []byte{0x80 | opcode, 126, byte(len(data) >> 8), byte(len(data))}
			}
			if _, err := connection.Write(append(frame, data...)); err != nil || opcode == 0x8 {
				return
			}
		}
	}
}

func main() {
	flag.Parse()
	record(fmt.Sprintf("start %d", os.Getpid()))
	instance := fmt.Sprintf("%d-%d", os.Getpid(), starts())
	time.Sleep(seconds(*delay))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello from go\n") })
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /size/{length}", func(w http.ResponseWriter, r *http.Request) {
		length, _ := strconv.Atoi(r.PathValue("length"))
		w.Write(bytes.Repeat([]byte("0123456789abcdef"), length/16+1)[:length])
	})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(seconds(number(r, "s", 1)))
		fmt.Fprint(w, "slow")
	})
	mux.HandleFunc("POST /echo-sha", echo)
	mux.HandleFunc("GET /sse", ticks)
	mux.HandleFunc("GET /ws", websocket(instance))
	signed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Instance", instance)
		mux.ServeHTTP(w, r)
	})
	server := &http.Server{Addr: fmt.Sprintf("%s:%d", *host, *port), Handler: signed, IdleTimeout: seconds(*keepAlive)}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
