// SPDX-License-Identifier: MIT

// hotgo_client ADDR PATCH.so: a client of hotgo's RPC as one is written for the original, with
// nothing but net/rpc and hotgo's structures: loads, lists, unloads, and fails in every way that
// has an answer.  A line for each step; exit status 1 when one is not right.
package main

import (
	"fmt"
	"net/rpc"
	"os"
	"strings"
	"sync"
)

type Config struct {
	HPFile        string
	ReplaceConfig map[string]string
	RefConfig     map[string]string
}

type HPInfo struct {
	HPID   string
	Config Config
}

type LoadResponse struct {
	HPID  string
	Error string
}

type UnloadRequest struct {
	HPID string
}

type UnloadResponse struct {
	Error string
}

type InfoRequest struct {
}

type InfoResponse struct {
	Info []HPInfo
}

var failed = false

func check(what string, good bool, detail ...interface{}) {
	if good {
		fmt.Printf("ok %s\n", what)
		return
	}
	failed = true
	fmt.Printf("not ok %s: %v\n", what, detail)
}

func infoOf(client *rpc.Client) []HPInfo {
	var info InfoResponse
	err := client.Call("HPRpcService.Info", InfoRequest{}, &info)
	check("Info", err == nil, err)
	return info.Info
}

func loadAndUnload(client *rpc.Client, file string) {
	config := Config{
		HPFile:        file,
		ReplaceConfig: map[string]string{"NewFunc1": "main.func1"},
		RefConfig:     map[string]string{"Global": "main.globalValue", "Func2Ref": "main.func2"},
	}
	var loaded, again LoadResponse
	var unloaded UnloadResponse

	check("nothing is loaded", len(infoOf(client)) == 0)
	err := client.Call("HPRpcService.LoadHP", config, &loaded)
	check("LoadHP", err == nil && len(loaded.HPID) == 64 && loaded.Error == "", err, loaded)
	err = client.Call("HPRpcService.LoadHP", config, &again)
	check("LoadHP again is an error", err != nil &&
		err.Error() == "patch "+loaded.HPID+" already loaded", err, again)
	info := infoOf(client)
	check("it is listed as it was loaded", len(info) == 1 && info[0].HPID == loaded.HPID &&
		fmt.Sprint(info[0].Config) == fmt.Sprint(config), info)
	err = client.Call("HPRpcService.UnloadHP", UnloadRequest{HPID: loaded.HPID}, &unloaded)
	check("UnloadHP", err == nil && unloaded.Error == "", err, unloaded)
	check("it is not listed", len(infoOf(client)) == 0)
	unloaded = UnloadResponse{}
	err = client.Call("HPRpcService.UnloadHP", UnloadRequest{HPID: loaded.HPID}, &unloaded)
	check("UnloadHP again is an error of the answer", err == nil &&
		unloaded.Error == "patch "+loaded.HPID+" not loaded", err, unloaded)
}

func failures(client *rpc.Client) {
	var loaded LoadResponse

	err := client.Call("HPRpcService.LoadHP", Config{HPFile: "./no.so"}, &loaded)
	check("no file", err != nil && err.Error() == "open ./no.so: no such file or directory", err)
	err = client.Call("HPRpcService.Nope", InfoRequest{}, &loaded)
	check("no method", err != nil && err.Error() == "rpc: can't find method HPRpcService.Nope", err)
	err = client.Call("HPRpcService.LoadHP", struct{ HPFile int }{5}, &loaded)
	check("a number for a name", err != nil && strings.HasPrefix(err.Error(), "gob: wrong type"), err)
	check("the connection lived", len(infoOf(client)) == 0)
}

// Many calls under way on one connection.
func together(client *rpc.Client) {
	var all sync.WaitGroup
	errors := make([]error, 50)

	for i := range errors {
		all.Add(1)
		go func(i int) {
			var info InfoResponse
			errors[i] = client.Call("HPRpcService.Info", InfoRequest{}, &info)
			all.Done()
		}(i)
	}
	all.Wait()
	for _, err := range errors {
		if err != nil {
			check("50 calls at once", false, err)
			return
		}
	}
	check("50 calls at once", true)
}

func main() {
	client, err := rpc.DialHTTPPath("tcp", os.Args[1], "/hp")
	check("DialHTTPPath", err == nil, err)
	if err == nil {
		loadAndUnload(client, os.Args[2])
		failures(client)
		together(client)
		client.Close()
	}
	if failed {
		os.Exit(1)
	}
}
